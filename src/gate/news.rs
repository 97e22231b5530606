//! Which routes did callers ask for that the table does not know?
//!
//! A newer MLflow has routes of which no row speaks. They are refused; whoever runs this should learn of it from the log,
//! once for each route and not once for each request. What callers write is theirs to choose, so it is bounded: in
//! number, in length, and ids are left out.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use crate::mlflow::version::Version;
use crate::policy::path::Path;
use crate::policy::route::Verb;

/// How many routes are told of.
const MOST: usize = 100;
/// The longest route that is told of, in bytes.
const LONGEST: usize = 200;
/// Where MLflow's calls lie; anything else is somebody's typing.
const CALLS: [&str; 5] = ["api/", "ajax-api/", "gateway/", "v1/", "graphql"];

/// The routes that were told of.
#[derive(Debug, Default)]
pub struct News {
    told: Mutex<HashSet<String>>,
}

impl News {
    /// Tells of a call that no row speaks of, the first time.
    pub(super) fn hear(&self, verb: Verb, path: &Path, version: Option<Version>) {
        let Some(route) = route(verb, path) else { return };
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() >= MOST || told.contains(&route) {
            return;
        }
        let version = version.map_or_else(|| "unknown".to_owned(), |version| version.to_string());
        tracing::warn!(
            route,
            mlflow = version,
            last = told.len() + 1 == MOST,
            "a call was refused that the table does not know; `trackgate doctor` tells whether MLflow has it"
        );
        told.insert(route);
    }
}

/// The route of a call: ids, which have digits, become `*`.
fn route(verb: Verb, path: &Path) -> Option<String> {
    let place = path.place().filter(|place| CALLS.iter().any(|family| place.starts_with(family)))?;
    let segments: Vec<&str> = place
        .split('/')
        .enumerate()
        .map(|(at, segment)| if at > 1 && segment.bytes().any(|byte| byte.is_ascii_digit()) { "*" } else { segment })
        .collect();
    let route = format!("{verb} /{}", segments.join("/"));
    (route.len() <= LONGEST).then_some(route)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hear(news: &News, path: &str) -> usize {
        news.hear(Verb::Post, &Path::parse(path).unwrap(), None);
        news.told.lock().unwrap().len()
    }

    #[test]
    fn a_route_is_told_of_once_whatever_its_ids() {
        let news = News::default();
        assert_eq!(hear(&news, "/api/4.0/mlflow/castles/12/towers"), 1);
        assert_eq!(hear(&news, "/api/4.0/mlflow/castles/m-77aa/towers"), 1);
        assert_eq!(hear(&news, "/api/4.0/mlflow/castles"), 2);
        assert!(news.told.lock().unwrap().contains("POST /api/4.0/mlflow/castles/*/towers"));
    }

    #[test]
    fn what_is_no_call_of_mlflows_is_not_told_of() {
        let news = News::default();
        assert_eq!(hear(&news, "/wp-login.php"), 0);
        assert_eq!(hear(&news, &format!("/api/2.0/{}", "x".repeat(LONGEST))), 0);
    }

    #[test]
    fn callers_cannot_fill_the_log() {
        let news = News::default();
        for (one, two) in (0..30_u8).flat_map(|one| (0..26_u8).map(move |two| (one, two))) {
            let name = [b'a' + one % 26, b'a' + two, if one > 25 { b'x' } else { b'y' }];
            hear(&news, &format!("/api/2.0/{}", str::from_utf8(&name).unwrap()));
        }
        assert_eq!(news.told.lock().unwrap().len(), MOST);
    }
}
