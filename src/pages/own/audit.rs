//! What did somebody do, and what became of it? For administrators, from the audit log.

use askama::Template;
use http::StatusCode;

use super::{Answered, Ask, Desk, Frame, Notice, address, html};
use crate::audit::search::{Found, Page, Place, Search, SearchFault, search};

/// How many records one page shows.
const PAGE: usize = 50;
/// The longest word that is searched for, in bytes.
const LONGEST: usize = 300;

#[derive(Template)]
#[template(path = "audit.html")]
struct AuditPage<'a> {
    frame: Frame<'a>,
    notice: Option<Notice>,
    person: &'a str,
    object: &'a str,
    decision: &'a str,
    from: &'a str,
    to: &'a str,
    records: Vec<Found>,
    tired: bool,
    earlier: Option<String>,
}

impl<A: Ask> Desk<'_, A> {
    pub(super) async fn audit(&self) -> Answered {
        let fields = ["person", "object", "decision", "from", "to"];
        let [person, object, decision, from, to] = fields.map(|name| self.field(name).trim());
        if [person, object, decision, from, to].iter().any(|text| text.len() > LONGEST) {
            return self.refuse(StatusCode::BAD_REQUEST, "That is too long to search for.", "bad-search", &"");
        }
        let wanted = Search {
            user: person.to_owned(),
            object: object.to_owned(),
            decision: decision.to_owned(),
            from: from.to_owned(),
            to: to.to_owned(),
            on: place(self.field("on")),
            most: PAGE,
        };
        let log = self.tools.audit.clone();
        let found = tokio::task::spawn_blocking(move || search(&log, &wanted)).await;
        let (page, notice) = match found {
            Ok(Ok(page)) => (page, None),
            Ok(Err(SearchFault::NotKept)) => {
                let text = "The audit log of this server goes to its standard output, and cannot be searched here: search it \
                            where that is kept.";
                (Page::default(), Some(text))
            }
            Ok(Err(SearchFault::Unreadable(fault))) => {
                tracing::warn!(error = %fault, "the audit log cannot be searched");
                (Page::default(), Some("The audit log cannot be read at the moment."))
            }
            Err(_) => (Page::default(), Some("The audit log cannot be read at the moment.")),
        };
        let earlier = page.next.map(|Place { file, at }| {
            let on = format!("{file}.{at}");
            let words = [("person", person), ("object", object), ("decision", decision), ("from", from), ("to", to)];
            address("/trackgate/audit", &words.into_iter().chain([("on", &*on)]).collect::<Vec<_>>())
        });
        let page = AuditPage {
            frame: self.frame("audit"),
            notice: notice.map(|text| Notice { good: false, text: text.to_owned() }),
            person,
            object,
            decision,
            from,
            to,
            records: page.records,
            tired: page.tired,
            earlier,
        };
        Answered::plain(html::page(StatusCode::OK, &page))
    }
}

/// Where the page before ended.
fn place(text: &str) -> Option<Place> {
    let (file, at) = text.split_once('.')?;
    Some(Place { file: file.parse().ok()?, at: at.parse().ok()? })
}
