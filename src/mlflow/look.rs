//! What does a name look like?
//!
//! Two names look alike when they differ by case, by dots at their ends, or by signs that look the same (UTS 39 section
//! 4, "confusable detection").

use unicode_security::skeleton;

/// Names that look alike have the same.
#[must_use]
pub fn look(name: &str) -> String {
    let mut look = String::with_capacity(name.len() + 4);
    if name.is_ascii() {
        name.chars().for_each(|sign| plain(sign, &mut look));
    } else {
        // Once before and once after: what looks like a capital looks like its small letter too.
        let first: String = skeleton(name).collect::<String>().to_lowercase();
        skeleton(&first).for_each(|sign| plain(sign, &mut look));
    }
    let bare = look.split('@').map(|part| part.trim_matches('.')).collect::<Vec<_>>();
    bare.join("@")
}

/// The skeleton of ASCII, in small letters.
fn plain(sign: char, look: &mut String) {
    match sign {
        'm' | 'M' => look.push_str("rn"),
        '0' => look.push('o'),
        '1' | 'I' | '|' | 'i' => look.push('l'),
        _ => look.extend(sign.to_lowercase()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_differ_by_case_dots_or_signs_that_look_the_same_look_alike() {
        for (one, other) in [
            ("alice@example.com", "Alice@Example.com"),
            ("alice@example.com", "alice@example.com."),
            ("alice@example.com", "alice.@example.com"),
            ("alice@example.com", "a1ice@example.com"),
            ("alice@example.com", "aIice@example.com"),
            ("alice@example.com", "аlice@example.com"),
            ("alice@example.com", "АLICE@example.com"),
            ("bob@example.com", "b0b@example.com"),
            ("mia@example.com", "rnia@example.com"),
            ("jörg", "jo\u{308}rg"),
        ] {
            assert_ne!(one, other);
            assert_eq!(look(one), look(other), "{one} {other}");
        }
    }

    #[test]
    fn other_names_do_not() {
        for (one, other) in [
            ("alice@example.com", "alicia@example.com"),
            ("bob@example.com", "bob@example.org"),
            ("a.b@example.com", "ab@example.com"),
            ("", "a"),
        ] {
            assert_ne!(look(one), look(other), "{one} {other}");
        }
    }
}
