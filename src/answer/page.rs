//! How is a page filled with rows that the caller may see?
//!
//! A [`Filler`] says which page of the upstream's list to ask for, is handed its rows, and keeps the visible ones until
//! the page is full and the next visible row, or the end, has been seen. It does no I/O: `answer::list` carries the
//! questions, tests answer them from a list in memory.
//!
//! What it promises, for every size of page, every share of visible rows and every budget:
//! - no hidden row is given, no visible row is lost or given twice, the upstream's order is kept;
//! - a page is full when enough visible rows are left, unless the budget of upstream calls or of bytes ends;
//! - a position to go on from is given only if a visible row follows, or the budget ended before that was known.
//!
//! A position may lie inside an upstream page (the page's own token and how many of its rows to pass over), so that
//! pages of any size can be asked for. It never leaves the house unsealed: it counts hidden rows.

use super::json::Value;

/// The most rows asked for at once, beyond what the caller wants: few calls, bounded memory.
const LARGE_PAGE: u32 = 5000;
/// How fast pages grow while visible rows are rare.
const GROWTH: u32 = 4;
/// How many rows are asked for to learn whether anything follows, while nothing has been hidden.
const LOOK_AHEAD: u32 = 10;

/// Where a list goes on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Position {
    /// The upstream's token for the page; `None` is the first page.
    pub(crate) page: Option<String>,
    /// How many rows of that page are passed over, visible or not.
    pub(crate) skip: u32,
    /// How many visible rows are passed over after that: they were given before the view changed.
    pub(crate) discard: u64,
    /// How many visible rows were given before this position.
    pub(crate) given: u64,
}

impl Position {
    /// The same number of visible rows further, counted from the beginning: what a position means in another view.
    pub(crate) fn restarted(&self) -> Self {
        Self { page: None, skip: 0, discard: self.given, given: self.given }
    }
}

/// What bounds one page of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// How many rows the caller wants: at least 1.
    pub(crate) rows: u32,
    /// The largest page that the upstream gives.
    pub(crate) most: u32,
    /// How many upstream calls may be made.
    pub(crate) calls: u32,
    /// How many bytes of rows may be given; the first row is given whatever its size.
    pub(crate) bytes: usize,
    /// Whether the upstream was asked for visible rows only, so that its own token tells whether more follow.
    pub(crate) narrowed: bool,
}

/// The next question to the upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ask {
    /// Its `page_token`.
    pub(crate) page: Option<String>,
    /// Its `max_results`.
    pub(crate) rows: u32,
}

/// A list whose pages lead back to themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a page of the list names itself as the next one")]
pub(crate) struct Circle;

/// Fills one page.
#[derive(Debug)]
pub(crate) struct Filler {
    bounds: Bounds,
    at: Position,
    calls: u32,
    /// The size of the last page asked for, 0 before the first.
    asked: u32,
    /// A smaller upper bound, after an answer that was too large.
    shrunk: Option<u32>,
    hidden: bool,
    kept: Vec<String>,
    bytes: usize,
    done: bool,
    next: Option<Position>,
}

/// A filled page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Filled {
    /// The rows, byte for byte as the upstream wrote them.
    pub(crate) rows: Vec<String>,
    /// Where the list goes on, if it does.
    pub(crate) next: Option<Position>,
}

impl Filler {
    pub(crate) fn new(bounds: Bounds, from: Position) -> Self {
        Self {
            bounds,
            at: from,
            calls: 0,
            asked: 0,
            shrunk: None,
            hidden: false,
            kept: Vec::new(),
            bytes: 0,
            done: false,
            next: None,
        }
    }

    /// What to ask next; `None` when the page is filled or the budget is spent.
    pub(crate) fn ask(&mut self) -> Option<Ask> {
        if self.done || self.calls >= self.bounds.calls.max(1) {
            return None;
        }
        self.calls += 1;
        let rows = self.rows_to_ask();
        self.asked = rows;
        Some(Ask { page: self.at.page.clone(), rows })
    }

    fn missing(&self) -> u32 {
        self.bounds.rows.saturating_sub(u32::try_from(self.kept.len()).unwrap_or(u32::MAX))
    }

    fn rows_to_ask(&self) -> u32 {
        let discard = u32::try_from(self.at.discard).unwrap_or(u32::MAX);
        let needed = self.missing().saturating_add(discard);
        let rows = if self.bounds.narrowed {
            // Every row counts, so this ends exactly where the upstream's next token begins.
            self.at.skip.saturating_add(needed)
        } else if self.asked == 0 {
            // One more shows whether anything follows. Not when starting inside a page: then the next token lines
            // up again, and positions do not run ever further from the beginning of a page.
            self.at.skip.saturating_add(needed).saturating_add(u32::from(self.at.skip == 0))
        } else if needed == 0 && !self.hidden {
            LOOK_AHEAD
        } else {
            needed.saturating_add(1).max(self.asked.saturating_mul(GROWTH).min(LARGE_PAGE))
        };
        let least = self.at.skip.saturating_add(1);
        let largest = LARGE_PAGE.max(self.bounds.rows.saturating_add(1)).max(least);
        let rows = rows.min(largest).min(self.shrunk.unwrap_or(u32::MAX)).min(self.bounds.most);
        rows.max(1)
    }

    /// The upstream's answer to the last question was too large to be read: the next question asks for less.
    /// Returns whether that can help.
    pub(crate) fn too_large(&mut self) -> bool {
        let smaller = (self.asked / 4).max(self.at.skip.saturating_add(1));
        if smaller >= self.asked {
            return false;
        }
        self.shrunk = Some(smaller);
        true
    }

    /// Takes the upstream's answer to the last question: its rows and its `next_page_token`.
    pub(crate) fn take<'a, E: From<Circle>>(
        &mut self,
        rows: impl Iterator<Item = Value<'a>>,
        next: Option<String>,
        mut visible: impl FnMut(Value<'a>) -> Result<bool, E>,
    ) -> Result<(), E> {
        for (index, row) in (0u32..).zip(rows).skip(self.at.skip as usize) {
            if !visible(row)? {
                self.hidden = true;
                continue;
            }
            if self.at.discard > 0 {
                self.at.discard -= 1;
                continue;
            }
            let full = self.missing() == 0;
            if full || (!self.kept.is_empty() && self.bytes.saturating_add(row.raw().len()) > self.bounds.bytes) {
                self.at.skip = index;
                self.next = Some(self.at.clone());
                self.done = true;
                return Ok(());
            }
            self.bytes = self.bytes.saturating_add(row.raw().len());
            self.kept.push(row.raw().to_owned());
            self.at.given += 1;
        }
        let Some(next) = next else {
            self.done = true;
            return Ok(());
        };
        if self.at.page.as_ref() == Some(&next) {
            return Err(Circle.into());
        }
        self.at.page = Some(next);
        self.at.skip = 0;
        if self.bounds.narrowed && self.missing() == 0 && !self.hidden {
            self.next = Some(self.at.clone());
            self.done = true;
        }
        Ok(())
    }

    /// How many bytes of rows are kept by now.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The page. Where the budget ended first, the list goes on from where it stopped.
    pub(crate) fn finish(self) -> Filled {
        let next = if self.done { self.next } else { Some(self.at) };
        Filled { rows: self.kept, next }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// An upstream with a list in memory, that pages like MLflow's stores: a token is an offset, and is given only if
    /// rows follow.
    struct Upstream {
        rows: Vec<String>,
        most: u32,
        calls: u32,
    }

    impl Upstream {
        fn page(&mut self, ask: &Ask) -> (Vec<String>, Option<String>) {
            self.calls += 1;
            assert!((1..=self.most).contains(&ask.rows), "{ask:?}");
            let from = ask.page.as_deref().map_or(0, |token| token.parse::<usize>().unwrap()).min(self.rows.len());
            let to = (from + ask.rows as usize).min(self.rows.len());
            (self.rows[from..to].to_vec(), (to < self.rows.len()).then(|| to.to_string()))
        }
    }

    #[expect(clippy::unnecessary_wraps, reason = "the shape of a judge")]
    fn is_visible(row: Value<'_>) -> Result<bool, Circle> {
        Ok(row.raw().starts_with("\"v"))
    }

    fn fill(upstream: &mut Upstream, bounds: Bounds, from: Position) -> Filled {
        let mut filler = Filler::new(bounds, from);
        while let Some(ask) = filler.ask() {
            let (rows, next) = upstream.page(&ask);
            let values = rows.iter().map(|row| Value::parse(row.as_bytes()).unwrap());
            filler.take(values, next, is_visible).unwrap();
        }
        filler.finish()
    }

    fn upstream(shares: &[bool], most: u32) -> Upstream {
        let rows = shares.iter().enumerate().map(|(n, v)| format!("\"{}{n}\"", if *v { 'v' } else { 'h' })).collect();
        Upstream { rows, most, calls: 0 }
    }

    /// All pages, the sizes of `sizes` in turn.
    fn walk(upstream: &mut Upstream, sizes: &[u32], bounds: Bounds, mut from: Position) -> Vec<Filled> {
        let mut pages = Vec::new();
        loop {
            assert!(pages.len() <= 3 * upstream.rows.len() + 3, "the walk does not end");
            let rows = sizes[pages.len() % sizes.len()];
            let filled = fill(upstream, Bounds { rows, ..bounds }, from);
            let next = filled.next.clone();
            pages.push(filled);
            match next {
                Some(next) => from = next,
                None => return pages,
            }
        }
    }

    const WIDE: Bounds = Bounds { rows: 10, most: 1000, calls: 10_000, bytes: usize::MAX, narrowed: false };

    fn shares() -> impl Strategy<Value = Vec<bool>> {
        (0.0..=1.0f64).prop_flat_map(|share| proptest::collection::vec(proptest::bool::weighted(share), 0..300))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn nothing_hidden_shows_nothing_visible_is_lost_or_doubled(
            shares in shares(),
            sizes in proptest::collection::vec(1u32..40, 1..4),
            most in 40u32..120,
            calls in 1u32..6,
            bytes in prop_oneof![Just(usize::MAX), 1usize..200],
        ) {
            let mut upstream = upstream(&shares, most);
            let expected: Vec<String> = upstream.rows.iter().filter(|row| row.starts_with("\"v")).cloned().collect();
            let bounds = Bounds { most, calls, bytes, ..WIDE };
            let pages = walk(&mut upstream, &sizes, bounds, Position::default());
            let seen: Vec<String> = pages.into_iter().flat_map(|page| page.rows).collect();
            prop_assert_eq!(seen, expected);
        }

        #[test]
        fn a_page_is_full_when_there_is_one_and_the_end_is_the_end(
            shares in shares(),
            sizes in proptest::collection::vec(1u32..40, 1..4),
            most in 40u32..120,
        ) {
            let mut upstream = upstream(&shares, most);
            let total = shares.iter().filter(|v| **v).count();
            let pages = walk(&mut upstream, &sizes, Bounds { most, ..WIDE }, Position::default());
            let mut seen = 0;
            for (n, page) in pages.iter().enumerate() {
                let want = sizes[n % sizes.len()] as usize;
                prop_assert_eq!(page.rows.len(), want.min(total - seen));
                seen += page.rows.len();
                prop_assert_eq!(page.next.is_some(), seen < total);
                prop_assert_eq!(page.next.as_ref().map_or(total as u64, |next| next.given), seen as u64);
            }
        }

        #[test]
        fn a_page_costs_no_more_calls_than_its_budget(
            shares in shares(), rows in 1u32..40, most in 40u32..120, calls in 1u32..6,
        ) {
            let mut upstream = upstream(&shares, most);
            fill(&mut upstream, Bounds { rows, most, calls, ..WIDE }, Position::default());
            prop_assert!(upstream.calls <= calls);
        }

        #[test]
        fn a_position_counts_the_same_rows_in_another_view(
            shares in shares(), rows in 1u32..20, most in 20u32..60, calls in 1u32..6,
        ) {
            let mut upstream = upstream(&shares, most);
            let bounds = Bounds { rows, most, ..WIDE };
            let first = fill(&mut upstream, bounds, Position::default());
            let Some(next) = first.next else { return Ok(()) };
            // The view changes: the same list, without its hidden rows.
            upstream.rows.retain(|row| row.starts_with("\"v"));
            let expected: Vec<String> = upstream.rows[first.rows.len()..].to_vec();
            let narrowed = Bounds { calls, narrowed: true, ..bounds };
            let seen: Vec<String> =
                walk(&mut upstream, &[rows], narrowed, next.restarted()).into_iter().flat_map(|page| page.rows).collect();
            prop_assert_eq!(seen, expected);
        }

        #[test]
        fn a_narrowed_list_costs_one_call_a_page(count in 0usize..300, rows in 1u32..40) {
            let mut upstream = upstream(&vec![true; count], 40);
            let pages = walk(&mut upstream, &[rows], Bounds { most: 40, narrowed: true, ..WIDE }, Position::default());
            prop_assert_eq!(upstream.calls as usize, pages.len());
            prop_assert_eq!(pages.len(), count.div_ceil(rows as usize).max(1));
            for page in &pages {
                prop_assert_eq!(page.next.as_ref().map_or(0, |next| next.skip), 0);
            }
        }

        #[test]
        fn a_row_hidden_in_spite_of_narrowing_is_dropped_and_made_up_for(
            shares in shares(), rows in 1u32..40,
        ) {
            let mut upstream = upstream(&shares, 40);
            let expected: Vec<String> = upstream.rows.iter().filter(|row| row.starts_with("\"v")).cloned().collect();
            let pages = walk(&mut upstream, &[rows], Bounds { most: 40, narrowed: true, ..WIDE }, Position::default());
            let seen: Vec<String> = pages.into_iter().flat_map(|page| page.rows).collect();
            prop_assert_eq!(seen, expected);
        }

        #[test]
        fn positions_stay_near_the_beginning_of_a_page(rows in 1u32..20) {
            // All visible: what is read again must not grow with how far the caller has come.
            let mut upstream = upstream(&[true; 300], 1000);
            for page in walk(&mut upstream, &[rows], WIDE, Position::default()) {
                prop_assert!(page.next.is_none_or(|next| next.skip <= rows + LOOK_AHEAD));
            }
        }
    }

    #[test]
    fn ten_of_twenty_thousand_are_found_within_a_budget_of_ten() {
        let mut shares = vec![false; 20_000];
        for n in 0..10 {
            shares[n * 1900 + 700] = true;
        }
        let mut upstream = upstream(&shares, 50_000);
        let page = fill(&mut upstream, Bounds { rows: 100, most: 50_000, calls: 10, ..WIDE }, Position::default());
        assert_eq!(page.rows.len(), 10);
        assert_eq!(page.next, None);
        assert!(upstream.calls <= 8, "{}", upstream.calls);
    }

    #[test]
    fn a_spent_budget_gives_a_short_page_that_continues() {
        let mut upstream = upstream(&[false; 500], 10);
        let page = fill(&mut upstream, Bounds { rows: 5, most: 10, calls: 2, ..WIDE }, Position::default());
        assert!(page.rows.is_empty());
        assert!(page.next.is_some());
    }

    #[test]
    fn an_upstream_whose_token_does_not_move_is_a_fault_not_a_loop() {
        let mut filler = Filler::new(WIDE, Position { page: Some("7".into()), ..Position::default() });
        filler.ask().unwrap();
        assert_eq!(filler.take(std::iter::empty(), Some("7".into()), is_visible), Err(Circle));
    }

    #[test]
    fn an_answer_that_is_too_large_is_asked_for_in_smaller_pages() {
        let mut filler = Filler::new(Bounds { rows: 100, ..WIDE }, Position::default());
        assert_eq!(filler.ask().unwrap().rows, 101);
        assert!(filler.too_large());
        assert_eq!(filler.ask().unwrap().rows, 25);
        let mut one = Filler::new(Bounds { rows: 1, narrowed: true, ..WIDE }, Position::default());
        assert_eq!(one.ask().unwrap().rows, 1);
        assert!(!one.too_large());
    }
}
