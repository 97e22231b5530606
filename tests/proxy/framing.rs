//! Requests that two readers could read differently: refused, the connection closed, nothing forwarded (RFC 9112
//! sections 2.2, 5.2, 6.1, 6.3, 7.1; RUSTSEC-2021-0020, -0078, -0079, RUSTSEC-2026-0034).

use crate::harness::raw::Raw;
use crate::harness::server::Server;
use crate::harness::street::Street;

use trackgate::serve::Limits;

async fn refused(request: &str, status: u16) {
    let server = Server::ok();
    let street = Street::before(server.address, Limits::default());
    let mut raw = Raw::connect(street.plain()).await;
    // What follows would be the smuggled request.
    raw.send(format!("{request}GET /smuggled HTTP/1.1\r\nhost: localhost\r\n\r\n")).await;
    let said = raw.answer().await;
    assert_eq!(said.status, status, "{request:?}: {said:?}");
    raw.is_closed().await;
    assert!(server.seen().is_empty(), "{request:?} reached the server: {:?}", server.seen());
}

macro_rules! refused {
    ($($name:ident: $status:literal $request:expr;)*) => {$(
        #[tokio::test]
        async fn $name() {
            refused($request, $status).await;
        }
    )*};
}

refused! {
    a_length_and_a_coding_are_refused: 400
        "POST /a HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n";
    a_coding_and_a_length_are_refused: 400
        "POST /a HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n";
    two_lengths_are_refused_even_if_equal: 400
        "POST /a HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\ncontent-length: 5\r\n\r\nhello";
    two_different_lengths_are_refused: 400
        "POST /a HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\ncontent-length: 0\r\n\r\nhello";
    a_list_of_lengths_is_refused: 400
        "POST /a HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5, 5\r\n\r\nhello";
    a_signed_length_is_refused: 400
        "POST /a HTTP/1.1\r\nhost: localhost\r\ncontent-length: +5\r\n\r\nhello";
    a_coding_on_http_1_0_is_refused: 400
        "POST /a HTTP/1.0\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n";
    a_coding_besides_chunked_is_refused: 400
        "POST /a HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n";
    a_coding_given_twice_is_refused: 400
        "POST /a HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n";
    a_coding_in_disguise_is_refused: 400
        "POST /a HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n";
    a_folded_line_is_refused: 400
        "GET /a HTTP/1.1\r\nhost: localhost\r\nx-a: 1\r\n x-b: 2\r\n\r\n";
    a_bare_line_feed_is_refused: 400
        "GET /a HTTP/1.1\r\nhost: localhost\nx-a: 1\r\n\r\n";
    a_bare_line_feed_at_the_end_is_refused: 400
        "GET /a HTTP/1.1\r\nhost: localhost\r\n\n";
    a_bare_carriage_return_is_refused: 400
        "GET /a HTTP/1.1\r\nhost: localhost\r\nx-a: 1\rx-b: 2\r\n\r\n";
    a_nul_is_refused: 400
        "GET /a HTTP/1.1\r\nhost: localhost\r\nx-a: 1\0\r\n\r\n";
    a_space_before_the_colon_is_refused: 400
        "POST /a HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding : chunked\r\n\r\n0\r\n\r\n";
    a_field_without_a_name_is_refused: 400
        "GET /a HTTP/1.1\r\nhost: localhost\r\n: x\r\n\r\n";
    a_field_with_a_bad_name_is_refused: 400
        "GET /a HTTP/1.1\r\nhost: localhost\r\nx(a): x\r\n\r\n";
    a_space_in_the_target_is_refused: 400
        "GET /a b HTTP/1.1\r\nhost: localhost\r\n\r\n";
    an_unknown_version_is_refused: 400
        "GET /a HTTP/3.0\r\nhost: localhost\r\n\r\n";
}

#[tokio::test]
async fn a_refusal_is_told_in_the_callers_form() {
    let server = Server::ok();
    let street = Street::before(server.address, Limits::default());
    let mut raw = Raw::connect(street.plain()).await;
    raw.send("POST /a HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n").await;
    let said = raw.answer().await;
    let told: serde_json::Value = serde_json::from_slice(&said.body).unwrap();
    assert_eq!(told["error_code"], "BAD_REQUEST");
    assert_eq!(said.header("connection"), Some("close"));
    assert!(said.header("server").is_none());
}

#[tokio::test]
async fn a_misdeed_behind_a_good_request_costs_only_itself() {
    let server = Server::ok();
    let street = Street::before(server.address, Limits::default());
    let mut raw = Raw::connect(street.plain()).await;
    raw.send(
        "POST /good HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\nhiGET /bad HTTP/1.1\r\nhost: localhost\r\n \
         folded\r\n\r\nGET /never HTTP/1.1\r\nhost: localhost\r\n\r\n",
    )
    .await;
    assert_eq!(raw.answer().await.status, 200);
    assert_eq!(raw.answer().await.status, 400);
    raw.is_closed().await;
    let targets: Vec<_> = server.seen().iter().map(|seen| seen.target.clone()).collect();
    assert_eq!(targets, ["/good"]);
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let server =
        Server::scripted(|request| async move { crate::harness::server::full(200, request.uri().path().to_owned()) });
    let street = Street::before(server.address, Limits::default());
    let mut raw = Raw::connect(street.plain()).await;
    let one = |n: u32| format!("GET /{n} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    let all: String = (0..20).map(one).collect();
    // In three pieces, cut within heads.
    let (first, rest) = all.split_at(25);
    let (second, third) = rest.split_at(301);
    for piece in [first, second, third] {
        raw.send(piece).await;
        raw.tcp.set_nodelay(true).unwrap();
    }
    for n in 0..20 {
        assert_eq!(raw.answer().await.body, format!("/{n}").into_bytes());
    }
}

/// A bad chunk shows only when the request is on its way: the server sees a broken upload, never a complete one.
#[tokio::test]
async fn a_bad_chunk_ends_the_upload_visibly() {
    use http_body_util::BodyExt as _;
    for chunks in ["5\r\nhello\r\nzz\r\n", "5\r\nhelloXX", "5\r\nhello\n", "11111111111111111\r\n", "5\nhello\r\n"] {
        let (told, mut ended) = tokio::sync::mpsc::unbounded_channel();
        let server = Server::scripted(move |request| {
            let told = told.clone();
            async move {
                let _ = told.send(request.into_body().collect().await.is_ok());
                crate::harness::server::full(200, "complete")
            }
        });
        let street = Street::before(server.address, Limits::default());
        let mut raw = Raw::connect(street.plain()).await;
        raw.send(format!("POST /a HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n{chunks}0\r\n\r\n"))
            .await;
        let said = raw.answer().await;
        assert_eq!(said.status, 400, "{chunks:?}: {said:?}");
        raw.is_closed().await;
        // The server may not even have been asked; if it was, it saw the break.
        drop(street);
        drop(server);
        while let Some(complete) = ended.recv().await {
            assert!(!complete, "{chunks:?} looked complete");
        }
    }
}
