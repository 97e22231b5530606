//! Does the text of a claim match what a binding wants of it?
//!
//! `*` and `?` stand for letters other than `/` and `:`, so that no wildcard reaches from one part of a claim into the next;
//! `**` stands for any letters. `[*]` and `[?]` are the letters. A `*` stands behind one of `/ : - _ . @ =`: `org/repo*`
//! would be `org/repo-of-somebody-else` too.

/// The most wildcards of one text.
const MOST_WILDCARDS: usize = 8;
/// The longest text.
const LONGEST: usize = 1000;
/// Behind one of these a `*` may stand.
const SEPARATORS: &[char] = &['/', ':', '-', '_', '.', '@', '='];

/// One sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    /// Any letters at all.
    All,
    /// Any letters within a part.
    Any,
    /// One letter within a part.
    One,
    /// This letter.
    Letter(char),
}

/// A text that no claim is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadWanted {
    /// Nothing there, or too much.
    #[error("it is empty, longer than {LONGEST} bytes, or has control characters")]
    Text,
    /// More wildcards than anybody needs.
    #[error("it has more than {MOST_WILDCARDS} wildcards")]
    TooWild,
    /// It begins with a wildcard and goes on.
    #[error("it begins with a wildcard: anybody may have a name that ends so; `*` alone is any text")]
    Begins,
    /// `org/repo*`.
    #[error(
        "a `*` stands behind one of `/ : - _ . @ =`: `org/repo*` is `org/repo-of-somebody-else` too; write `org/repo`, \
         `org/repo-*` or `org/*`"
    )]
    Behind,
}

/// What a claim is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    text: String,
    signs: Vec<Sign>,
}

impl Wanted {
    pub(super) fn parse(text: &str) -> Result<Self, BadWanted> {
        if text.is_empty() || text.len() > LONGEST || text.chars().any(char::is_control) {
            return Err(BadWanted::Text);
        }
        let signs = signs(text);
        let wild = |sign: &Sign| !matches!(sign, Sign::Letter(_));
        if signs.iter().filter(|sign| wild(sign)).count() > MOST_WILDCARDS {
            return Err(BadWanted::TooWild);
        }
        let many = |sign: &Sign| matches!(sign, Sign::All | Sign::Any);
        if signs.len() > 1 && wild(&signs[0]) {
            return Err(BadWanted::Begins);
        }
        let loose = signs
            .windows(2)
            .any(|pair| many(&pair[1]) && !matches!(pair[0], Sign::Letter(letter) if SEPARATORS.contains(&letter)));
        if loose { Err(BadWanted::Behind) } else { Ok(Self { text: text.to_owned(), signs }) }
    }

    /// As it is written.
    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it is one text and no other.
    pub(super) fn is_exact(&self) -> bool {
        self.signs.iter().all(|sign| matches!(sign, Sign::Letter(_)))
    }

    /// What stands before the first wildcard.
    pub(super) fn beginning(&self) -> String {
        let letters = self.signs.iter().map_while(|sign| match sign {
            Sign::Letter(letter) => Some(*letter),
            Sign::All | Sign::Any | Sign::One => None,
        });
        letters.collect()
    }

    /// Whether a claim's text is what is wanted. Each letter is compared once with each sign, whatever these are.
    pub(super) fn matches(&self, claim: &str) -> bool {
        // `at[n]`: the first n signs match what was read so far.
        let mut at = vec![false; self.signs.len() + 1];
        at[0] = true;
        let skip = |at: &mut [bool]| {
            for (n, sign) in self.signs.iter().enumerate() {
                if at[n] && matches!(sign, Sign::All | Sign::Any) {
                    at[n + 1] = true;
                }
            }
        };
        skip(&mut at);
        for letter in claim.chars() {
            let within = letter != '/' && letter != ':';
            let mut next = vec![false; at.len()];
            for (n, sign) in self.signs.iter().enumerate().filter(|(n, _)| at[*n]) {
                match sign {
                    Sign::All => next[n] = true,
                    Sign::Any if within => next[n] = true,
                    Sign::One if within => next[n + 1] = true,
                    Sign::Letter(own) if *own == letter => next[n + 1] = true,
                    Sign::Any | Sign::One | Sign::Letter(_) => {}
                }
            }
            skip(&mut next);
            at = next;
        }
        at.last().copied().unwrap_or_default()
    }
}

fn signs(text: &str) -> Vec<Sign> {
    let mut signs = Vec::new();
    let mut rest = text;
    loop {
        let found = [
            ("[*]", Sign::Letter('*')),
            ("[?]", Sign::Letter('?')),
            ("**", Sign::All),
            ("*", Sign::Any),
            ("?", Sign::One),
        ];
        let found = found.into_iter().find_map(|(spelled, sign)| Some((sign, rest.strip_prefix(spelled)?)));
        let mut letters = rest.chars();
        match (found, letters.next()) {
            (Some((sign, after)), _) => {
                signs.push(sign);
                rest = after;
            }
            (None, Some(letter)) => {
                signs.push(Sign::Letter(letter));
                rest = letters.as_str();
            }
            (None, None) => return signs,
        }
    }
}
