//! Which trace does a request belong to?
//!
//! W3C Trace Context (section 3.2, `traceparent`), or Google's older header `X-Cloud-Trace-Context`
//! (<https://cloud.google.com/trace/docs/trace-context#legacy-http-header>), which its load balancers send too. A client may
//! name any trace: it links log lines, and `spans` says what else follows from it.

use http::{HeaderMap, HeaderName, HeaderValue};

/// W3C Trace Context, section 3.2.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// W3C Trace Context, section 3.3.
pub const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
/// Google's older one.
pub const X_CLOUD_TRACE_CONTEXT: HeaderName = HeaderName::from_static("x-cloud-trace-context");

/// A place in a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    trace: u128,
    span: u64,
    /// `None`: left to whoever comes next.
    sampled: Option<bool>,
}

impl TraceContext {
    /// What the headers say; `None` where they say nothing, or what cannot be read. Said twice is not said.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        Self::of_traceparent(headers).or_else(|| one(headers, X_CLOUD_TRACE_CONTEXT).and_then(Self::google))
    }

    /// What W3C's header says alone, read in the same way.
    #[must_use]
    pub fn of_traceparent(headers: &HeaderMap) -> Option<Self> {
        one(headers, TRACEPARENT).and_then(Self::w3c)
    }

    fn w3c(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let (version, flags) = (hex(version, 2)?, hex(flags, 2)?);
        // Later versions may add to it, version 0 may not, and 255 is none.
        if version == 0xff || (version == 0 && parts.next().is_some()) {
            return None;
        }
        Self::new(hex(trace, 32)?, u64::try_from(hex(span, 16)?).ok()?, Some(flags & 1 == 1))
    }

    fn google(text: &str) -> Option<Self> {
        let (trace, rest) = text.split_once('/')?;
        let (span, options) = rest.split_once(';').unwrap_or((rest, ""));
        if !span.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let sampled = match options {
            "o=1" => Some(true),
            "o=0" => Some(false),
            _ => None,
        };
        Self::new(hex(trace, 32)?, span.parse().ok()?, sampled)
    }

    /// A place of our own; `None` for what W3C calls invalid, all zeros.
    #[must_use]
    pub fn new(trace: u128, span: u64, sampled: Option<bool>) -> Option<Self> {
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
        self.sampled == Some(true)
    }

    /// What the one before us decided about recording it, if they did.
    #[must_use]
    pub fn decided(self) -> Option<bool> {
        self.sampled
    }

    /// The trace, as a number.
    #[must_use]
    pub fn trace_number(self) -> u128 {
        self.trace
    }

    /// The span, as a number.
    #[must_use]
    pub fn span_number(self) -> u64 {
        self.span
    }

    /// Another span of the same trace, decided alike.
    #[must_use]
    pub fn at(self, span: u64) -> Option<Self> {
        Self::new(self.trace, span, self.sampled)
    }

    /// As `traceparent` says it.
    #[must_use]
    pub fn traceparent(self) -> Option<HeaderValue> {
        let text = format!("00-{:032x}-{:016x}-{:02x}", self.trace, self.span, u8::from(self.sampled()));
        HeaderValue::try_from(text).ok()
    }

    /// As `X-Cloud-Trace-Context` says it.
    #[must_use]
    pub fn cloud(self) -> Option<HeaderValue> {
        HeaderValue::try_from(format!("{:032x}/{};o={}", self.trace, self.span, u8::from(self.sampled()))).ok()
    }
}

fn one(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())?.to_str().ok()
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
    fn what_is_written_is_read_as_the_same_place() {
        for decided in [Some(true), Some(false)] {
            let here = TraceContext::new(7 << 100, u64::MAX, decided).unwrap();
            for (name, value) in [(TRACEPARENT, here.traceparent()), (X_CLOUD_TRACE_CONTEXT, here.cloud())] {
                assert_eq!(TraceContext::of(&HeaderMap::from_iter([(name, value.unwrap())])), Some(here));
            }
        }
        assert_eq!(TraceContext::new(0, 1, None), None);
        assert_eq!(TraceContext::new(1, 0, None), None);
    }

    #[test]
    fn google_may_leave_the_decision_to_us() {
        for (options, decided) in [("", None), (";o=1", Some(true)), (";o=0", Some(false)), (";o=2", None)] {
            let value = HeaderValue::try_from(format!("{TRACE}/1{options}")).unwrap();
            let headers = HeaderMap::from_iter([(X_CLOUD_TRACE_CONTEXT, value)]);
            assert_eq!(TraceContext::of(&headers).unwrap().decided(), decided, "{options}");
        }
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
