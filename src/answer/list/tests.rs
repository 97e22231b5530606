//! Lists against an MLflow in memory, that pages, filters and refuses as the real one does.

use std::cell::RefCell;
use std::collections::HashMap;

use http::StatusCode;
use proptest::prelude::*;

use super::*;
use crate::answer::Settings;
use crate::answer::query::tests::{get, post};
use crate::answer::testing::{EXPERIMENTS, RUNS, ann};
use crate::clock::Clock;
use crate::message::Payload;
use crate::mlflow::permission::Permission::{self, Deny, Read};
use crate::policy::classify::rows;
use crate::resolve::Called;
use crate::resolve::ResolveFault;
use crate::seal::Seal;

type Grants<'a> = &'a [(Kind, &'a str, Permission)];

/// Experiments 1 to `count`, or one run in each.
struct Mlflow {
    count: u32,
    version: Option<&'static str>,
    takes_lists: bool,
    /// What it was asked, as query or body.
    asked: RefCell<Vec<String>>,
    /// It cannot be asked what experiments are called.
    tells_no_names: bool,
    /// An answer to give instead of the right one.
    instead: Option<Response<fn() -> Body>>,
}

impl Mlflow {
    fn new(count: u32) -> Self {
        Self {
            count,
            version: Some("3.17.2"),
            takes_lists: true,
            asked: RefCell::default(),
            tells_no_names: false,
            instead: None,
        }
    }

    fn old(count: u32) -> Self {
        Self { version: Some("3.16.0"), takes_lists: false, ..Self::new(count) }
    }

    fn calls(&self) -> usize {
        self.asked.borrow().len()
    }
}

fn refusal(message: &str) -> Response<Body> {
    let mut answer = Response::new(Body::from(message.as_bytes().to_vec()));
    *answer.status_mut() = StatusCode::BAD_REQUEST;
    answer
}

impl Asker for Mlflow {
    async fn ask(&self, page: Request) -> Result<Response<Body>, AnswerFault> {
        let (fields, text): (HashMap<String, serde_json::Value>, String) = match &page.payload {
            Payload::Judged(body) => (serde_json::from_slice(body).unwrap(), String::from_utf8(body.to_vec()).unwrap()),
            Payload::Stream(_) => {
                let query = page.query.clone().unwrap_or_default();
                let fields = url::form_urlencoded::parse(query.as_bytes())
                    .map(|(name, value)| (name.into_owned(), serde_json::Value::String(value.into_owned())))
                    .collect();
                (fields, query)
            }
        };
        self.asked.borrow_mut().push(text);
        if let Some(instead) = &self.instead {
            let mut answer = Response::new(instead.body()());
            *answer.status_mut() = instead.status();
            *answer.headers_mut() = instead.headers().clone();
            return Ok(answer);
        }
        let plain = |name: &str| match fields.get(name) {
            Some(serde_json::Value::String(text)) => Some(text.clone()),
            Some(other) => Some(other.to_string()),
            None => None,
        };
        let Some(most) = plain("max_results").and_then(|rows| rows.parse::<usize>().ok()).filter(|rows| *rows > 0)
        else {
            return Ok(refusal("Invalid value for parameter 'max_results' supplied."));
        };
        let mut ids: Vec<u32> = (1..=self.count).collect();
        let filter = plain("filter").unwrap_or_default();
        if let Some(rest) = filter.strip_prefix("experiment_id IN (") {
            let Some((list, rest)) = rest.split_once(')').filter(|_| self.takes_lists) else {
                return Ok(refusal("Invalid clause(s) in filter string"));
            };
            if !rest.is_empty() && !rest.starts_with(" AND name = 'x'") {
                return Ok(refusal("Invalid clause(s) in filter string"));
            }
            let list: Vec<u32> = list.split(',').map(|id| id.trim_matches('\'').parse().unwrap()).collect();
            ids.retain(|id| list.contains(id));
        } else if !filter.is_empty() && filter != "name = 'x'" {
            return Ok(refusal("Invalid clause(s) in filter string"));
        }
        if let Some(list) = fields.get("experiment_ids") {
            let list: Vec<u32> =
                list.as_array().unwrap().iter().map(|id| id.as_str().unwrap().parse().unwrap()).collect();
            ids.retain(|id| list.contains(id));
        }
        let from: usize = match plain("page_token") {
            None => 0,
            Some(token) => match token.strip_prefix("offset ").and_then(|offset| offset.parse().ok()) {
                Some(offset) => offset,
                None => return Ok(refusal("Invalid page token")),
            },
        };
        let rows: Vec<String> = ids
            .iter()
            .skip(from)
            .take(most)
            .map(|id| {
                format!(
                    "{{\n  \"experiment_id\": \"{id}\", \"name\": \"{}\", \"x\": NaN, \"info\": {{\"experiment_id\": \"{id}\", \"run_id\": \"{id:032}\"}} }}",
                    called(*id)
                )
            })
            .collect();
        let next = from + rows.len();
        let next = if next < ids.len() { format!(", \"next_page_token\": \"offset {next}\"") } else { String::new() };
        let rows = rows.join(", ");
        let body = format!("{{\"experiments\": [{rows}], \"runs\": [{rows}], \"total\": {}{next}}}", self.count);
        let mut answer = Response::new(Body::from(body.into_bytes()));
        answer.headers_mut().insert("etag", http::HeaderValue::from_static("\"all\""));
        Ok(answer)
    }

    async fn version(&self) -> Option<String> {
        self.version.map(str::to_owned)
    }
}

impl Homes for Mlflow {
    async fn experiments_of(&self, _: Vec<(Kind, Arc<str>)>, _: &[Arc<str>]) -> HashMap<(Kind, Arc<str>), Arc<str>> {
        HashMap::new()
    }

    async fn called(&self, ids: Vec<Arc<str>>) -> Result<Vec<Called>, ResolveFault> {
        if self.tells_no_names {
            return Err(ResolveFault::Status(StatusCode::BAD_GATEWAY));
        }
        Ok(names_of(ids.iter().map(|id| id.parse().unwrap()), self.count))
    }
}

/// What an experiment is called: some have another one's id for a name.
fn called(id: u32) -> String {
    if id.is_multiple_of(5) { (id + 1).to_string() } else { format!("team-{}/{}", id % 3, id) }
}

fn names_of(ids: impl Iterator<Item = u32>, count: u32) -> Vec<Called> {
    let name = |id| (id <= count).then(|| Arc::from(called(id)));
    ids.map(|id| (Arc::from(id.to_string()), name(id))).collect()
}

fn shared() -> Shared {
    Shared::new(Settings::default(), Seal::ephemeral().unwrap(), Clock::System)
}

fn experiments() -> &'static Row {
    rows().find(|row| row.name == "SearchExperiments").unwrap()
}

fn runs() -> &'static Row {
    rows().find(|row| row.name == "SearchRuns").unwrap()
}

/// What one request gets: `None` where it is passed on untouched.
async fn ask(
    mlflow: &Mlflow,
    shared: &Shared,
    grants: Grants<'_>,
    (row, list): (&Row, &List),
    request: &Original,
) -> Result<Option<(u16, String)>, AnswerFault> {
    let principal = ann(grants);
    let principal = knowing(request, &principal, row, mlflow).await?;
    let answer = match way(request, &principal, row, list, shared)? {
        Way::Untouched => return Ok(None),
        Way::Empty => empty(list),
        Way::Filtered(plan) => filtered(request, &principal, list, *plan, shared, mlflow, mlflow).await?,
    };
    assert!(answer.headers().get("etag").is_none() || !answer.status().is_success());
    let status = answer.status().as_u16();
    let (_, body) = whole::read(answer, usize::MAX).await.unwrap();
    Ok(Some((status, String::from_utf8(body.to_vec()).unwrap())))
}

/// The ids and the token of a page.
fn page(body: &str) -> (Vec<u32>, Option<String>) {
    let page = Page::read(body.as_bytes(), "experiments").unwrap();
    let rows = page.rows().map(|row| row.get("experiment_id").unwrap().unwrap().as_str().unwrap().parse().unwrap());
    (rows.collect(), page.next)
}

async fn search(mlflow: &Mlflow, shared: &Shared, grants: Grants<'_>, query: &str) -> (Vec<u32>, Option<String>) {
    let got = ask(mlflow, shared, grants, (experiments(), &EXPERIMENTS), &get(query)).await.unwrap().unwrap();
    assert_eq!(got.0, 200, "{}", got.1);
    assert!(!got.1.contains("total"), "counts of all rows do not leave");
    page(&got.1)
}

fn next(rows: u32, token: Option<&str>) -> String {
    match token {
        None => format!("max_results={rows}"),
        Some(token) => format!("max_results={rows}&page_token={token}"),
    }
}

const SOME: Grants<'static> =
    &[(Kind::Experiment, "3", Read), (Kind::Experiment, "7", Read), (Kind::Experiment, "9", Read)];
const ALL_BUT: Grants<'static> = &[(Kind::Experiment, "*", Read), (Kind::Experiment, "2", Deny)];
const ALL: Grants<'static> = &[(Kind::Experiment, "*", Read)];

#[tokio::test]
async fn a_new_server_is_asked_for_the_visible_rows_alone() {
    let (mlflow, shared) = (Mlflow::new(20), shared());
    let (ids, token) = search(&mlflow, &shared, SOME, "max_results=2&filter=name+%3D+'x'").await;
    assert_eq!(ids, [3, 7]);
    assert_eq!(mlflow.calls(), 1);
    assert!(
        mlflow.asked.borrow()[0].starts_with("filter=experiment%5Fid%20IN")
            || mlflow.asked.borrow()[0].contains("IN%20%28")
    );
    let token = token.unwrap();
    let query = format!("max_results=2&filter=name+%3D+'x'&page_token={token}");
    assert_eq!(search(&mlflow, &shared, SOME, &query).await, (vec![9], None));
    assert_eq!(mlflow.calls(), 2);
}

#[tokio::test]
async fn rows_that_tell_their_names_are_judged_by_these_and_nothing_is_looked_up() {
    let mlflow = Mlflow { tells_no_names: true, ..Mlflow::new(20) };
    let named: Grants<'_> = &[(Kind::ExperimentName, "team-0/*", Read), (Kind::Experiment, "1", Read)];
    let (ids, token) = search(&mlflow, &shared(), named, "max_results=20").await;
    assert_eq!((ids, token), (vec![1, 3, 6, 9, 12, 18], None));
    assert!(mlflow.asked.borrow().iter().all(|asked| !asked.contains("IN")), "what is visible by name would be lost");
}

#[tokio::test]
async fn where_names_cannot_be_told_no_row_that_a_name_could_hide_leaves() {
    let (mlflow, shared) = (Mlflow { tells_no_names: true, ..Mlflow::new(20) }, shared());
    let denied: Grants<'_> = &[(Kind::Experiment, "*", Read), (Kind::ExperimentName, "team-0/*", Deny)];
    let request = post(r#"{"experiment_ids": ["3", "4"], "max_results": 5}"#);
    let got = ask(&mlflow, &shared, denied, (runs(), &RUNS), &request).await;
    assert!(matches!(got, Err(AnswerFault::Names(_))), "{got:?}");
    assert_eq!(mlflow.calls(), 0);
}

#[tokio::test]
async fn a_search_in_named_experiments_is_cut_by_their_names() {
    let (mlflow, shared) = (Mlflow::new(20), shared());
    let named: Grants<'_> = &[(Kind::ExperimentName, "team-0/*", Read), (Kind::ExperimentName, "6", Deny)];
    // Experiment 5 is called `6`; experiment 6 is team-0's.
    let request = post(r#"{"experiment_ids": ["3", "4", "5", "6"], "max_results": 5}"#);
    let (_, body) = ask(&mlflow, &shared, named, (runs(), &RUNS), &request).await.unwrap().unwrap();
    let page = Page::read(body.as_bytes(), "runs").unwrap();
    let ids: Vec<String> = page.rows().map(|row| text_at(row, "info.experiment_id").unwrap()).collect();
    assert_eq!(ids, ["3", "6"]);
    assert!(mlflow.asked.borrow()[0].contains(r#""experiment_ids":["3","6"]"#), "{:?}", mlflow.asked);
}

#[tokio::test]
async fn an_old_server_is_not_asked_for_lists_in_filters() {
    let (mlflow, shared) = (Mlflow::old(20), shared());
    assert_eq!(search(&mlflow, &shared, SOME, "max_results=5").await, (vec![3, 7, 9], None));
    assert!(mlflow.asked.borrow().iter().all(|asked| !asked.contains("IN")), "{:?}", mlflow.asked);
}

#[tokio::test]
async fn a_server_that_refuses_the_clause_is_asked_without_it() {
    let mlflow = Mlflow { takes_lists: false, ..Mlflow::new(20) };
    let shared = shared();
    for _ in 0..2 {
        assert_eq!(search(&mlflow, &shared, SOME, "max_results=5").await, (vec![3, 7, 9], None));
    }
    assert_eq!(
        mlflow.asked.borrow().iter().filter(|asked| asked.contains("IN")).count(),
        1,
        "it is not tried again soon"
    );
}

#[tokio::test]
async fn a_filter_that_mlflow_refuses_is_refused_in_its_own_words() {
    let (mlflow, shared) = (Mlflow::new(20), shared());
    let request = get("max_results=5&filter=bogus");
    let got = ask(&mlflow, &shared, SOME, (experiments(), &EXPERIMENTS), &request).await.unwrap();
    assert_eq!(got, Some((400, "Invalid clause(s) in filter string".to_owned())));
    assert!(mlflow.asked.borrow().last().unwrap().contains("filter=bogus"), "as the caller wrote it");
    assert_eq!(search(&mlflow, &shared, SOME, "max_results=5").await.0.len(), 3);
    assert!(mlflow.asked.borrow().last().unwrap().contains("IN"), "the server is not doubted for it");
}

#[tokio::test]
async fn who_sees_nothing_gets_an_empty_list_without_a_call() {
    let (mlflow, shared) = (Mlflow::new(20), shared());
    for grants in [&[][..], &[(Kind::Experiment, "*", Deny)]] {
        assert_eq!(search(&mlflow, &shared, grants, "max_results=5").await, (vec![], None));
    }
    assert_eq!(mlflow.calls(), 0);
}

#[tokio::test]
async fn who_sees_all_is_passed_through_untouched() {
    let (mlflow, shared) = (Mlflow::new(20), shared());
    for query in
        ["max_results=5", "max_results=abc", "max_results=1&max_results=2", "page_token=offset+5&max_results=3"]
    {
        let got = ask(&mlflow, &shared, ALL, (experiments(), &EXPERIMENTS), &get(query)).await.unwrap();
        assert_eq!(got, None, "{query}");
    }
}

#[tokio::test]
async fn mlflows_own_tokens_are_refused_while_a_list_is_filtered() {
    let (mlflow, shared) = (Mlflow::new(20), shared());
    for grants in [SOME, ALL_BUT] {
        let request = get("max_results=5&page_token=offset+5");
        let fault = ask(&mlflow, &shared, grants, (experiments(), &EXPERIMENTS), &request).await.unwrap_err();
        assert!(matches!(fault, AnswerFault::BadToken), "{fault}");
    }
    assert_eq!(mlflow.calls(), 0);
}

#[tokio::test]
async fn a_token_does_not_open_for_another_filter() {
    let (mlflow, shared) = (Mlflow::new(20), shared());
    let token = search(&mlflow, &shared, ALL_BUT, "max_results=5").await.1.unwrap();
    let request = get(&format!("max_results=5&filter=name+%3D+'x'&page_token={token}"));
    let fault = ask(&mlflow, &shared, ALL_BUT, (experiments(), &EXPERIMENTS), &request).await.unwrap_err();
    assert!(matches!(fault, AnswerFault::BadToken), "{fault}");
}

#[tokio::test]
async fn a_number_of_rows_that_is_none_is_mlflows_to_refuse() {
    let (mlflow, shared) = (Mlflow::new(20), shared());
    for query in ["", "max_results=0", "max_results=-1", "max_results=abc", "max_results=1.0"] {
        let got = ask(&mlflow, &shared, SOME, (experiments(), &EXPERIMENTS), &get(query)).await.unwrap().unwrap();
        assert_eq!(got.0, 400, "{query}");
    }
    // What MLflow takes all the same does not leave unfiltered.
    let fault =
        ask(&mlflow, &shared, SOME, (experiments(), &EXPERIMENTS), &get("max_results=60000")).await.unwrap_err();
    assert!(matches!(fault, AnswerFault::BadRows), "{fault}");
}

#[tokio::test]
async fn a_token_goes_on_when_grants_change_between_two_pages() {
    let views: [(Grants<'_>, Vec<u32>); 4] = [
        (SOME, vec![3, 7, 9]),
        (
            &[
                (Kind::Experiment, "3", Read),
                (Kind::Experiment, "7", Read),
                (Kind::Experiment, "9", Read),
                (Kind::Experiment, "11", Read),
            ],
            vec![3, 7, 9, 11],
        ),
        (ALL_BUT, (1..=20).filter(|id| *id != 2).collect()),
        (ALL, (1..=20).collect()),
    ];
    for mlflow in [Mlflow::new(20), Mlflow::old(20)] {
        let shared = shared();
        for (before, seen) in &views[..3] {
            for (after, sees) in &views {
                let (first, token) = search(&mlflow, &shared, before, "max_results=2").await;
                assert_eq!(first, seen[..2]);
                let (second, _) = search(&mlflow, &shared, after, &next(2, token.as_deref())).await;
                let narrowed = |grants| mlflow.takes_lists && grants != ALL_BUT && grants != ALL;
                // In the same list the place is exact; in another one as many rows are passed over as were given.
                let expected: Vec<u32> = if before == after || (!narrowed(*before) && !narrowed(*after)) {
                    sees.iter().copied().filter(|id| *id >= seen[2]).take(2).collect()
                } else {
                    sees.iter().copied().skip(2).take(2).collect()
                };
                assert_eq!(second, expected, "{before:?} then {after:?}");
            }
        }
    }
}

#[tokio::test]
async fn requested_experiments_that_are_hidden_are_cut_from_the_request() {
    let (mlflow, shared) = (Mlflow::new(20), shared());
    let run_search = (runs(), &RUNS);
    let request = post(r#"{"experiment_ids": ["2", "3", "9"], "order_by": ["x"], "max_results": 1}"#);
    let (_, body) = ask(&mlflow, &shared, SOME, run_search, &request).await.unwrap().unwrap();
    assert!(body.contains("\"3\"") && body.contains("next_page_token"), "{body}");
    assert_eq!(mlflow.asked.borrow()[0], r#"{"order_by":["x"],"experiment_ids":["3","9"],"max_results":1}"#);
    for text in [r#"{"experiment_ids": ["2", "4"]}"#, r#"{"experiment_ids": []}"#, "{}", ""] {
        let got = ask(&mlflow, &shared, SOME, run_search, &post(text)).await.unwrap().unwrap();
        assert_eq!(got, (200, "{}".to_owned()), "{text}");
    }
    assert_eq!(mlflow.calls(), 1, "an empty rest is never asked for");
    for text in [r#"{"experiment_ids": ["03"]}"#, r#"{"experiment_ids": [3]}"#, r#"{"experiment_ids": "3"}"#] {
        assert!(ask(&mlflow, &shared, SOME, run_search, &post(text)).await.is_err(), "{text}");
    }
}

#[tokio::test]
async fn a_denied_run_in_a_visible_experiment_is_not_listed() {
    let (mlflow, shared) = (Mlflow::new(20), shared());
    let denied = format!("{:032}", 7);
    let mut grants = SOME.to_vec();
    grants.push((Kind::Run, &denied, Deny));
    let request = post(r#"{"experiment_ids": ["3", "7", "9"], "max_results": 2}"#);
    let (_, body) = ask(&mlflow, &shared, &grants, (runs(), &RUNS), &request).await.unwrap().unwrap();
    assert!(!body.contains(&denied) && body.contains(&format!("{:032}", 9)) && !body.contains("next_page"), "{body}");
}

#[tokio::test]
async fn an_answer_that_cannot_be_looked_over_does_not_leave() {
    fn instead(status: u16, header: Option<(&'static str, &'static str)>, body: fn() -> Body) -> Mlflow {
        let mut answer = Response::new(body);
        *answer.status_mut() = StatusCode::from_u16(status).unwrap();
        if let Some((name, value)) = header {
            answer.headers_mut().insert(name, http::HeaderValue::from_static(value));
        }
        Mlflow { instead: Some(answer), ..Mlflow::new(20) }
    }
    let bad = [
        instead(200, None, || Body::from(b"<html>".to_vec())),
        instead(200, None, || Body::from(b"{\"experiments\": [{\"experiment_id\": \"3\"}, {".to_vec())),
        instead(200, None, || Body::from(b"{\"experiments\": [{\"experiment_id\": \"3\"}, {}]}".to_vec())),
        instead(200, None, || {
            Body::from(b"{\"experiments\": [], \"experiments\": [{\"experiment_id\": \"4\"}]}".to_vec())
        }),
        instead(200, None, || Body::from(b"{\"experiments\": {}}".to_vec())),
        instead(200, Some(("content-encoding", "gzip")), || Body::from(b"{}".to_vec())),
        instead(200, None, || Body::Empty),
    ];
    for mlflow in bad {
        let got = ask(&mlflow, &shared(), ALL_BUT, (experiments(), &EXPERIMENTS), &get("max_results=5")).await;
        assert!(matches!(got, Err(AnswerFault::Unreadable(_))), "{got:?}");
    }
    let error = instead(500, None, || Body::from(b"oops".to_vec()));
    let got = ask(&error, &shared(), ALL_BUT, (experiments(), &EXPERIMENTS), &get("max_results=5")).await.unwrap();
    assert_eq!(got, Some((500, "oops".to_owned())), "errors tell of no rows");
}

#[tokio::test]
async fn answers_that_are_too_large_are_asked_for_in_smaller_pages() {
    let mlflow = Mlflow::old(200);
    let shared = Shared::new(
        Settings { list_answer: 4000, list_budget: 5, ..Settings::default() },
        Seal::ephemeral().unwrap(),
        Clock::System,
    );
    let (mut seen, mut token) = (Vec::new(), None::<String>);
    for _ in 0..200 {
        let (ids, next_token) = search(&mlflow, &shared, ALL_BUT, &next(100, token.as_deref())).await;
        seen.extend(ids);
        token = next_token;
        if token.is_none() {
            break;
        }
    }
    assert_eq!(seen, (1..=200).filter(|id| *id != 2).collect::<Vec<_>>());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// Whatever is granted, however it is paged, on whichever server: the pages hold exactly what single reads allow.
    #[test]
    fn pages_hold_exactly_what_single_reads_allow(
        granted in proptest::collection::btree_map(1u32..60, prop_oneof![3 => Just(Read), 1 => Just(Deny)], 0..40),
        named in proptest::collection::btree_map(
            prop::sample::select(&["team-0/*", "team-?/1?", "*1", "2?", "team-*", "6", "team-1/4"][..]),
            prop_oneof![2 => Just(Read), 1 => Just(Deny)],
            0..3,
        ),
        all in any::<bool>(),
        sizes in proptest::collection::vec(1u32..25, 1..3),
        old in any::<bool>(),
        budget in 1u32..12,
    ) {
        let names: Vec<(String, Permission)> = granted.iter().map(|(id, p)| (id.to_string(), *p)).collect();
        let mut grants: Vec<(Kind, &str, Permission)> =
            names.iter().map(|(id, p)| (Kind::Experiment, &**id, *p)).collect();
        if all {
            grants.push((Kind::Experiment, "*", Read));
        }
        grants.extend(named.iter().map(|(names, p)| (Kind::ExperimentName, *names, *p)));
        let principal = ann(&grants).knowing(names_of(1..=50, 50));
        let sees = |id: u32| {
            crate::access::decide::visible(
                &principal,
                &crate::mlflow::resource::Resource::top(Kind::Experiment, id.to_string().into()),
            )
        };
        let expected: Vec<u32> = (1..=50).filter(|id| sees(*id)).collect();
        let mlflow = if old { Mlflow::old(50) } else { Mlflow::new(50) };
        let settings = Settings { list_budget: budget, ..Settings::default() };
        let shared = Shared::new(settings, Seal::ephemeral().unwrap(), Clock::System);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut seen = Vec::new();
        let mut token: Option<String> = None;
        for turn in 0..200 {
            let rows = sizes[turn % sizes.len()];
            let request = get(&next(rows, token.as_deref()));
            let got = runtime.block_on(ask(&mlflow, &shared, &grants, (experiments(), &EXPERIMENTS), &request)).unwrap();
            let Some((status, body)) = got else { return Ok(()) };
            prop_assert_eq!(status, 200);
            let (ids, next) = page(&body);
            if budget > 10 {
                prop_assert_eq!(ids.len(), (rows as usize).min(expected.len() - seen.len()));
            }
            seen.extend(ids);
            token = next;
            if token.is_none() {
                break;
            }
        }
        prop_assert_eq!(token, None);
        prop_assert_eq!(seen, expected);
    }
}

/// All pages of a search for runs, asked for with these grants in turn, the last for ever.
fn walk_runs(
    mlflow: &Mlflow,
    shared: &Shared,
    views: &[Vec<(Kind, String, Permission)>],
    asked: &[u32],
    sizes: &[u32],
) -> Vec<Vec<u32>> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let ids: Vec<String> = asked.iter().map(u32::to_string).collect();
    let (mut pages, mut token) = (Vec::new(), None::<String>);
    loop {
        assert!(pages.len() < 300, "the walk does not end");
        let view = &views[pages.len().min(views.len() - 1)];
        let grants: Vec<(Kind, &str, Permission)> = view.iter().map(|(kind, id, p)| (*kind, &**id, *p)).collect();
        let mut body = serde_json::json!({"experiment_ids": ids, "max_results": sizes[pages.len() % sizes.len()]});
        if let Some(token) = &token {
            body["page_token"] = token.as_str().into();
        }
        let request = post(&body.to_string());
        let got = runtime.block_on(ask(mlflow, shared, &grants, (runs(), &RUNS), &request)).unwrap();
        let Some((status, body)) = got else { return pages };
        assert_eq!(status, 200, "{body}");
        let page = Page::read(body.as_bytes(), "runs").unwrap();
        let id = |row: Value<'_>| text_at(row, "info.experiment_id").unwrap().parse().unwrap();
        pages.push(page.rows().map(id).collect());
        token = page.next;
        if token.is_none() {
            return pages;
        }
    }
}

fn on_both() -> impl Strategy<Value = Vec<(Kind, String, Permission)>> {
    let word = || prop_oneof![3 => Just(Read), 2 => Just(Deny)];
    (
        proptest::collection::btree_map(1u32..40, word(), 0..25),
        proptest::collection::btree_map(1u32..40, word(), 0..12),
        any::<bool>(),
        proptest::collection::btree_map(prop::sample::select(&["team-0/*", "team-?/1?", "6"][..]), word(), 0..3),
    )
        .prop_map(|(experiments, runs, all, names)| {
            let experiments = experiments.into_iter().map(|(id, p)| (Kind::Experiment, id.to_string(), p));
            let runs = runs.into_iter().map(|(id, p)| (Kind::Run, format!("{id:032}"), p));
            let all = all.then(|| (Kind::Experiment, "*".to_owned(), Read));
            let names = names.into_iter().map(|(names, p)| (Kind::ExperimentName, names.to_owned(), p));
            experiments.chain(runs).chain(all).chain(names).collect()
        })
}

/// Whether a single read of the run in experiment `id` would be allowed.
fn reads_run(grants: &[(Kind, String, Permission)], id: u32) -> bool {
    let grants: Vec<(Kind, &str, Permission)> = grants.iter().map(|(kind, id, p)| (*kind, &**id, *p)).collect();
    let within = crate::mlflow::resource::Object { kind: Kind::Experiment, id: id.to_string().into() };
    let run = crate::mlflow::resource::Resource::inside(Kind::Run, format!("{id:032}").into(), within);
    crate::access::decide::visible(&ann(&grants).knowing(names_of(1..=50, 50)), &run)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// Grants on runs beside those on their experiments, a request narrowed to some experiments: exact all the same.
    #[test]
    fn rows_with_grants_of_their_own_are_paged_exactly(
        grants in on_both(),
        asked in proptest::collection::btree_set(1u32..45, 1..30),
        sizes in proptest::collection::vec(1u32..20, 1..3),
        budget in 1u32..12,
    ) {
        let asked: Vec<u32> = asked.into_iter().collect();
        let mlflow = Mlflow::new(40);
        let settings = Settings { list_budget: budget, ..Settings::default() };
        let shared = Shared::new(settings, Seal::ephemeral().unwrap(), Clock::System);
        let pages = walk_runs(&mlflow, &shared, std::slice::from_ref(&grants), &asked, &sizes);
        let expected: Vec<u32> =
            asked.iter().copied().filter(|id| *id <= 40 && reads_run(&grants, *id)).collect();
        let through = pages.is_empty() && expected.len() == asked.iter().filter(|id| **id <= 40).count();
        prop_assert!(through || pages.concat() == expected, "{:?} for {:?}", pages, expected);
        if budget > 10 && !through {
            let mut left = expected.len();
            for (n, page) in pages.iter().enumerate() {
                prop_assert_eq!(page.len(), left.min(sizes[n % sizes.len()] as usize));
                left -= page.len();
            }
        }
        for call in mlflow.asked.borrow().iter() {
            prop_assert!(!call.contains("\"experiment_ids\":[]"), "an empty rest is never asked for: {}", call);
        }
    }

    /// Grants that change between pages: what is shown is visible when it is shown, and the walk ends.
    #[test]
    fn a_page_shows_what_is_visible_when_it_is_shown(
        views in proptest::collection::vec(on_both(), 2..4),
        sizes in proptest::collection::vec(1u32..12, 1..3),
        budget in 1u32..12,
    ) {
        let asked: Vec<u32> = (1..=40).collect();
        let settings = Settings { list_budget: budget, ..Settings::default() };
        let shared = Shared::new(settings, Seal::ephemeral().unwrap(), Clock::System);
        let pages = walk_runs(&Mlflow::new(40), &shared, &views, &asked, &sizes);
        for (n, page) in pages.iter().enumerate() {
            let view = &views[n.min(views.len() - 1)];
            for id in page {
                prop_assert!(reads_run(view, *id), "{} on page {} of {:?}", id, n, pages);
            }
            prop_assert!(page.windows(2).all(|two| two[0] < two[1]), "in the server's order, none twice: {:?}", page);
        }
    }
}

#[tokio::test]
async fn a_page_that_the_budget_ends_tells_no_count_and_goes_on() {
    let settings = Settings { list_budget: 2, ..Settings::default() };
    let shared = Shared::new(settings, Seal::ephemeral().unwrap(), Clock::System);
    let mlflow = Mlflow { count: 20_000, ..Mlflow::old(20_000) };
    let far: Grants<'_> = &[(Kind::Experiment, "19999", Read)];
    let got = ask(&mlflow, &shared, far, (experiments(), &EXPERIMENTS), &get("max_results=5")).await.unwrap().unwrap();
    assert_eq!(mlflow.calls(), 2);
    // Nothing but a sealed token of one length, however far it is.
    let value: serde_json::Value = serde_json::from_str(&got.1).unwrap();
    assert_eq!(value.as_object().unwrap().keys().collect::<Vec<_>>(), ["next_page_token"]);
    let (mut token, mut seen, lengths) = (page(&got.1).1, Vec::new(), std::cell::RefCell::new(Vec::new()));
    while let Some(text) = token {
        lengths.borrow_mut().push(text.len());
        let (ids, next) = search(&mlflow, &shared, far, &next(5, Some(&text))).await;
        seen.extend(ids);
        token = next;
    }
    assert_eq!(seen, [19_999]);
    lengths.borrow_mut().dedup();
    assert_eq!(lengths.borrow().len(), 1);
}
