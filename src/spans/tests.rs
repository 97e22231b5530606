//! What begins without a collector.

use http::HeaderValue;

use super::*;

fn arrival(headers: &HeaderMap) -> Arrival<'_> {
    Arrival { method: &Method::GET, version: Version::HTTP_11, headers, trusted: false, secure: true }
}

fn spans(sample: &str) -> Spans {
    use opentelemetry::trace::TracerProvider as _;
    let provider = opentelemetry_sdk::trace::SdkTracerProvider::builder().build();
    Spans::by(provider.tracer("test"), sample.parse().unwrap(), "mlflow.example.com")
}

#[test]
fn without_a_setting_nothing_begins() {
    assert!(Spans::default().begin(&arrival(&HeaderMap::new())).is_none());
    assert!(Spans::default().sampling(Some(Sample::DEFAULT)).begin(&arrival(&HeaderMap::new())).is_none());
}

#[test]
fn a_request_that_is_not_sampled_has_a_place_and_no_span() {
    let journey = spans("0").begin(&arrival(&HeaderMap::new())).unwrap();
    assert_eq!(journey.here(), None);
    let mut headers = HeaderMap::new();
    let server = Server { scheme: "http", address: "127.0.0.1", port: Some(5000) };
    assert!(journey.asks(&Method::GET, &mut headers, server).is_none());
    let told = TraceContext::of(&headers).unwrap();
    assert_eq!(told.decided(), Some(false));
}

#[test]
fn the_share_changes_with_the_settings() {
    let none = spans("0");
    let begins = |spans: &Spans| spans.begin(&arrival(&HeaderMap::new())).unwrap().here().is_some();
    assert!(!begins(&none));
    assert!(begins(&none.sampling(Some("1".parse().unwrap()))));
    assert!(!begins(&none.sampling(None)), "no word, no change");
}

#[test]
fn where_mlflow_adds_to_traces_it_is_told_nothing() {
    for sample in ["0", "1"] {
        let journey = spans(sample).begin(&arrival(&HeaderMap::new())).unwrap();
        journey.keep_apart();
        let theirs = HeaderValue::from_static("theirs");
        let mut headers = HeaderMap::from_iter([(TRACESTATE, theirs.clone())]);
        let server = Server { scheme: "http", address: "127.0.0.1", port: None };
        let asked = journey.asks(&Method::POST, &mut headers, server);
        assert_eq!(asked.is_some(), sample == "1", "it is recorded all the same");
        assert_eq!(headers, HeaderMap::from_iter([(TRACESTATE, theirs)]));
    }
}
