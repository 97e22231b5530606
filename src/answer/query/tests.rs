use super::*;
use crate::message::Door;

pub(crate) fn get(query: &str) -> Original {
    request(Verb::Get, Some(query), Payload::Stream(Body::Empty))
}

pub(crate) fn post(body: &str) -> Original {
    request(Verb::Post, None, Payload::Judged(Bytes::from(body.to_owned())))
}

fn request(verb: Verb, query: Option<&str>, payload: Payload) -> Original {
    Original::from(&Request {
        id: "r".into(),
        workspace: None,
        verb,
        head_only: false,
        looked_over: false,
        path: Path::parse("/api/2.0/mlflow/experiments/search").unwrap(),
        query: query.map(str::to_owned),
        headers: http::HeaderMap::new(),
        payload,
        peer: Peer { address: [127, 0, 0, 1].into(), trusted_front: false, secure: true, door: Door::Https },
    })
}

fn read(request: &Original) -> Result<Query, BadQuery> {
    Query::read(request, "SearchExperiments", "ann")
}

fn body(request: &Request) -> &str {
    match &request.payload {
        Payload::Judged(bytes) => std::str::from_utf8(bytes).unwrap(),
        Payload::Stream(_) => panic!("not judged"),
    }
}

#[test]
fn a_get_is_read_from_its_query_alone() {
    let query = read(&get("max_results=7&page%5Ftoken=a%2Bb&filter=name+%3D+%27x%27&order_by=a&order_by=b")).unwrap();
    assert_eq!(query.rows, Rows::Count(7));
    assert_eq!(query.page.as_deref(), Some("a+b"));
    assert_eq!(query.filter, "name = 'x'");
    let camel = read(&get("maxResults=7&pageToken=x")).unwrap();
    assert_eq!((camel.rows, camel.page), (Rows::Absent, None));
}

#[test]
fn a_post_is_read_from_its_body_in_both_spellings() {
    for text in [
        r#"{"max_results": 7, "page_token": "t", "filter": "f"}"#,
        r#"{"maxResults": "7", "pageToken": "t", "filter": "f"}"#,
        r#"{"max_\u0072esults": 7, "page_token": "t", "filter": "f"}"#,
    ] {
        let query = read(&post(text)).unwrap();
        assert_eq!((query.rows, query.page.as_deref(), &*query.filter), (Rows::Count(7), Some("t"), "f"), "{text}");
    }
    let query = read(&post(r#"{"max_results": null, "page_token": "", "filter": null}"#)).unwrap();
    assert_eq!((query.rows, query.page, &*query.filter), (Rows::Absent, None, ""));
    assert_eq!(read(&post("")).unwrap().rows, Rows::Absent);
}

#[test]
fn what_could_be_read_in_two_ways_is_refused() {
    for query in ["max_results=1&max_results=2", "page_token=a&page%5ftoken=a", "filter=a&filter=", "filter=%ff"] {
        assert!(read(&get(query)).is_err(), "{query}");
    }
    for text in [
        r#"{"max_results": 1, "max_results": 1}"#,
        r#"{"max_results": 1, "maxResults": 1}"#,
        r#"{"page_token": "a", "pageToken": "a"}"#,
        r#"{"page_token": 1}"#,
        r#"{"filter": ["a"]}"#,
        r#"{"filter": "\ud800"}"#,
        r#""{}""#,
        "[]",
        "{",
        "\u{feff}{}",
    ] {
        assert!(read(&post(text)).is_err(), "{text}");
    }
}

#[test]
fn odd_numbers_are_mlflows_to_judge() {
    for rows in ["-1", "1.0", "1e2", "", "abc", "99999999999", "+5", " 5", "0x5"] {
        assert_eq!(
            read(&get(&format!("max_results={}", rows.replace('+', "%2B")))).unwrap().rows,
            Rows::Odd,
            "{rows:?}"
        );
    }
    for rows in ["-1", "1.0", "1e2", "true", "[1]", "{}", "\"abc\"", "\"\""] {
        assert_eq!(read(&post(&format!("{{\"max_results\":{rows}}}"))).unwrap().rows, Rows::Odd, "{rows}");
    }
    assert_eq!(read(&get("max_results=0")).unwrap().rows, Rows::Count(0));
}

#[test]
fn pages_of_one_query_have_one_mark_and_other_queries_another() {
    let mark = |text: &str| read(&post(text)).unwrap().mark;
    let first = mark(r#"{"filter": "f", "max_results": 7}"#);
    assert_eq!(first, mark(r#"{"page_token": "t", "max_results": 9, "filter": "f"}"#));
    assert_eq!(first, mark(r#"{"pageToken": "t", "filter": "f"}"#));
    assert_ne!(first, mark(r#"{"filter": "g"}"#));
    assert_ne!(first, mark(r#"{"filter": "f", "view_type": "ALL"}"#));
    let mut body = post(r#"{"filter": "f"}"#);
    assert_ne!(first, Query::read(&body, "SearchExperiments", "bob").unwrap().mark);
    body.workspace = Some(WorkspaceName::parse("team-a").unwrap());
    let there = read(&body).unwrap().mark;
    body.workspace = Some(WorkspaceName::default());
    assert!(there != first && there != read(&body).unwrap().mark);
}

#[test]
fn a_page_changes_what_it_must_and_nothing_else() {
    let changes = Changes { rows: Some(3), page: Turn::To("a/b"), filter: Some("x = 'é'"), ..Changes::default() };
    let page = page_of(&get("order_by=a+b&max_results=9&filter=f&order_by=%63&page_token=old"), changes).unwrap();
    assert_eq!(
        page.query.as_deref(),
        Some("order_by=a+b&order_by=%63&filter=x%20%3D%20%27%C3%A9%27&max_results=3&page_token=a%2Fb")
    );
    let text = r#"{ "order_by": ["a\u0062", NaN], "maxResults": 9, "pageToken":"old", "filter": "f", "view_type":3 }"#;
    let page = page_of(&post(text), changes).unwrap();
    assert_eq!(
        body(&page),
        r#"{"order_by":["a\u0062", NaN],"view_type":3,"filter":"x = 'é'","page_token":"a/b","max_results":3}"#
    );
    let first = page_of(&post(text), Changes { page: Turn::First, ..Changes::default() }).unwrap();
    assert_eq!(body(&first), r#"{"order_by":["a\u0062", NaN],"maxResults":9,"filter":"f","view_type":3}"#);
}

#[test]
fn the_answer_to_a_page_can_be_read() {
    let mut request = get("");
    for (name, value) in [("accept-encoding", "gzip, br"), ("if-none-match", "\"x\""), ("range", "bytes=0-1")] {
        request.headers.insert(name, http::HeaderValue::from_static(value));
    }
    let page = page_of(&request, Changes::default()).unwrap();
    assert_eq!(page.headers.get("accept-encoding").unwrap(), "identity");
    assert_eq!(page.headers.len(), 1);
}

#[test]
fn ids_in_a_query_and_in_objects_of_a_list_are_cut_where_they_stand() {
    let request = get("experiment_ids=1&filter=x&experiment_ids=2");
    let found = ids(&request, "experiment_ids").unwrap().unwrap();
    assert_eq!(found, [Arc::from("1"), Arc::from("2")]);
    let changes = Changes { ids: Some(("experiment_ids", &[&found[1]])), ..Changes::default() };
    assert_eq!(page_of(&request, changes).unwrap().query.as_deref(), Some("filter=x&experiment_ids=2"));
    assert_eq!(ids(&get("a=1"), "experiment_ids").unwrap(), None);

    let field = "locations[].place.id";
    let request = post(r#"{"locations":[{"type":"A","place":{"id":"1"}},{"place":{"id":"2"}}],"a":1}"#);
    let found = ids(&request, field).unwrap().unwrap();
    assert_eq!(found, [Arc::from("1"), Arc::from("2")]);
    let changes = Changes { ids: Some((field, &[&found[0]])), ..Changes::default() };
    assert_eq!(body(&page_of(&request, changes).unwrap()), r#"{"a":1,"locations":[{"place":{"id":"1"}}]}"#);
    for text in [r#"{"locations":[{}]}"#, r#"{"locations":[{"place":{"id":1}}]}"#, r#"{"locations":{}}"#] {
        assert!(ids(&post(text), field).is_err(), "{text}");
    }
}

#[test]
fn ids_are_read_and_written_in_either_spelling() {
    for text in [r#"{"experiment_ids":["1","2"],"a":1}"#, r#"{"experimentIds":["1","2"],"a":1}"#] {
        let request = post(text);
        let ids = ids(&request, "experiment_ids").unwrap().unwrap();
        assert_eq!(ids, [Arc::from("1"), Arc::from("2")]);
        let changes = Changes { ids: Some(("experiment_ids", &[&ids[1]])), ..Changes::default() };
        assert_eq!(body(&page_of(&request, changes).unwrap()), r#"{"a":1,"experiment_ids":["2"]}"#);
    }
    assert_eq!(ids(&post("{}"), "experiment_ids").unwrap(), None);
    assert_eq!(ids(&post(r#"{"experiment_ids":null}"#), "experiment_ids").unwrap(), None);
    for text in [
        r#"{"experiment_ids":"1"}"#,
        r#"{"experiment_ids":[1]}"#,
        r#"{"experiment_ids":["1"],"experimentIds":["1"]}"#,
        r#"{"experiment_ids":["1"],"experiment_ids":["1"]}"#,
    ] {
        assert!(ids(&post(text), "experiment_ids").is_err(), "{text}");
    }
}
