//! Which trace does a request belong to?
//!
//! W3C Trace Context (section 3.2, `traceparent`), or Google's older header `X-Cloud-Trace-Context`
//! (<https://cloud.google.com/trace/docs/trace-context#legacy-http-header>), which its load balancers send too. A client may
//! name any trace: it links log lines, and nothing else follows from it.

use http::HeaderMap;

/// A place in a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    trace: u128,
    span: u64,
    sampled: bool,
}

impl TraceContext {
    /// What the headers say; `None` where they say nothing, or what cannot be read. Said twice is not said.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let one = |name| {
            let mut values = headers.get_all(name).iter();
            values.next().filter(|_| values.next().is_none())?.to_str().ok()
        };
        one("traceparent").and_then(Self::w3c).or_else(|| one("x-cloud-trace-context").and_then(Self::google))
    }

    fn w3c(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let (version, flags) = (hex(version, 2)?, hex(flags, 2)?);
        // Later versions may add to it, version 0 may not, and 255 is none.
        if version == 0xff || (version == 0 && parts.next().is_some()) {
            return None;
        }
        Self::new(hex(trace, 32)?, u64::try_from(hex(span, 16)?).ok()?, flags & 1 == 1)
    }

    fn google(text: &str) -> Option<Self> {
        let (trace, rest) = text.split_once('/')?;
        let (span, options) = rest.split_once(';').unwrap_or((rest, ""));
        if !span.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        Self::new(hex(trace, 32)?, span.parse().ok()?, options == "o=1")
    }

    fn new(trace: u128, span: u64, sampled: bool) -> Option<Self> {
        (trace != 0 && span != 0).then_some(Self { trace, span, sampled })
    }

    /// The trace: 32 hexadecimal digits.
    #[must_use]
    pub fn trace(self) -> String {
        format!("{:032x}", self.trace)
    }

    /// The span: 16 hexadecimal digits.
    #[must_use]
    pub fn span(self) -> String {
        format!("{:016x}", self.span)
    }

    /// Whether somebody records it.
    #[must_use]
    pub fn sampled(self) -> bool {
        self.sampled
    }
}

/// So many lower-case hexadecimal digits (section 3.2.2: "HEXDIGLC").
fn hex(text: &str, digits: usize) -> Option<u128> {
    let lower = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    (text.len() == digits && text.bytes().all(lower)).then(|| u128::from_str_radix(text, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    fn of(pairs: &[(&'static str, &str)]) -> Option<(String, String, bool)> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        TraceContext::of(&headers).map(|context| (context.trace(), context.span(), context.sampled()))
    }

    #[test]
    fn both_headers_are_read_and_w3c_comes_first() {
        let told = Some((TRACE.to_owned(), "00f067aa0ba902b7".to_owned(), true));
        let w3c = format!("00-{TRACE}-00f067aa0ba902b7-01");
        assert_eq!(of(&[("traceparent", &w3c)]), told);
        let google = format!("{TRACE}/67667974448284343;o=1");
        assert_eq!(of(&[("x-cloud-trace-context", &google)]), told);
        let other = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/1";
        assert_eq!(of(&[("traceparent", &w3c), ("x-cloud-trace-context", other)]), told);
        let unsampled = Some(("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa".to_owned(), "0000000000000001".to_owned(), false));
        assert_eq!(of(&[("x-cloud-trace-context", other)]), unsampled);
        assert_eq!(of(&[("traceparent", &format!("01-{TRACE}-00f067aa0ba902b7-01-more"))]), told, "a later version");
    }

    #[test]
    fn what_is_no_context_is_none() {
        let upper = TRACE.to_uppercase();
        for bad in [
            String::new(),
            "00".to_owned(),
            format!("ff-{TRACE}-00f067aa0ba902b7-01"),
            format!("00-{TRACE}-00f067aa0ba902b7-01-more"),
            format!("00-{upper}-00f067aa0ba902b7-01"),
            format!("00-{TRACE}-0000000000000000-01"),
            format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
            format!("00-{TRACE}0-00f067aa0ba902b7-01"),
            format!("00-{TRACE}-+0f067aa0ba902b7-01"),
        ] {
            assert_eq!(of(&[("traceparent", &bad)]), None, "{bad}");
        }
        for bad in
            [TRACE.to_owned(), format!("{TRACE}/"), format!("{TRACE}/+1"), format!("{TRACE}/x;o=1"), "/1".to_owned()]
        {
            assert_eq!(of(&[("x-cloud-trace-context", &bad)]), None, "{bad}");
        }
        let one = format!("00-{TRACE}-00f067aa0ba902b7-01");
        assert_eq!(of(&[("traceparent", &one), ("traceparent", &one)]), None, "said twice");
    }
}
