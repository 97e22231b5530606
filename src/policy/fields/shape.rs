//! Which parts of a JSON body must be read?
//!
//! The paths of a row's fields (`a.b`, `a[].b`, `a[*]`, `a[k]`), laid over one another: a tree that the reader walks along.

/// The members of a JSON object that must be read.
#[derive(Debug, Default)]
pub(super) struct Node {
    pub(super) members: Vec<Member>,
    /// Where each element of a list of objects is counted.
    pub(super) counted: Option<usize>,
}

#[derive(Debug)]
pub(super) struct Member {
    pub(super) name: &'static str,
    /// Protobuf's second spelling, where it differs.
    pub(super) camel: Option<String>,
    pub(super) holds: Holds,
}

#[derive(Debug)]
pub(super) enum Holds {
    /// A value, or a list of values, of this slot.
    Value(usize),
    /// An object.
    Object(Node),
    /// A list of objects.
    Objects(Node),
    /// An object that may have any members, or a list of pairs of `key` and `value`.
    Entries(Entries),
}

/// What is wanted of entries.
#[derive(Debug, Default)]
pub(super) struct Entries {
    /// Where their names go.
    pub(super) names: Option<usize>,
    /// Where the values of some go.
    pub(super) values: Vec<(&'static str, usize)>,
}

impl Node {
    pub(super) fn insert(&mut self, steps: &'static str, slot: usize) {
        if let Some((path, entry)) = steps.strip_suffix(']').and_then(|steps| steps.rsplit_once('['))
            && !entry.is_empty()
        {
            return self.insert_entry(path, entry, slot);
        }
        let (name, list, rest) = step(steps);
        let member = self.member(name, || match (rest, list) {
            (None, false) => Holds::Value(slot),
            (_, true) => Holds::Objects(Self::default()),
            (Some(_), false) => Holds::Object(Self::default()),
        });
        match (rest, &mut member.holds) {
            (Some(rest), Holds::Object(node) | Holds::Objects(node)) => node.insert(rest, slot),
            (None, Holds::Objects(node)) => node.counted = Some(slot),
            (Some(_), Holds::Value(_) | Holds::Entries(_))
            | (None, Holds::Value(_) | Holds::Object(_) | Holds::Entries(_)) => {}
        }
    }

    /// `a.b[*]`: the names of `b`'s members; `a.b[k]`: the value of the one named `k`.
    fn insert_entry(&mut self, path: &'static str, entry: &'static str, slot: usize) {
        if let Some(entries) = self.entries(path) {
            match entry {
                "*" => entries.names = Some(slot),
                name => entries.values.push((name, slot)),
            }
        }
    }

    /// An object of which nothing is read but that it is one of texts, and that no member of it stands twice.
    pub(super) fn insert_map(&mut self, steps: &'static str) {
        self.entries(steps);
    }

    /// The entries at a path, which are made if they are not there.
    fn entries(&mut self, path: &'static str) -> Option<&mut Entries> {
        let (name, list, rest) = step(path);
        let Some(rest) = rest else {
            return match &mut self.member(name, || Holds::Entries(Entries::default())).holds {
                Holds::Entries(entries) => Some(entries),
                Holds::Value(_) | Holds::Object(_) | Holds::Objects(_) => None,
            };
        };
        let holds = || if list { Holds::Objects(Self::default()) } else { Holds::Object(Self::default()) };
        match &mut self.member(name, holds).holds {
            Holds::Object(node) | Holds::Objects(node) => node.entries(rest),
            Holds::Value(_) | Holds::Entries(_) => None,
        }
    }

    /// The member of that name, which is made if it is not there.
    fn member(&mut self, name: &'static str, holds: impl FnOnce() -> Holds) -> &mut Member {
        let index = self.members.iter().position(|member| member.name == name).unwrap_or_else(|| {
            let camel = camel(name);
            self.members.push(Member { name, camel: (camel != name).then_some(camel), holds: holds() });
            self.members.len() - 1
        });
        &mut self.members[index]
    }
}

/// The first step of a path: its name, whether a list stands there, and what follows.
fn step(steps: &'static str) -> (&'static str, bool, Option<&'static str>) {
    let (step, rest) = match steps.split_once('.') {
        Some((step, rest)) => (step, Some(rest)),
        None => (steps, None),
    };
    match step.strip_suffix("[]") {
        Some(name) => (name, true, rest),
        None => (step, false, rest),
    }
}

/// Protobuf's `json_name`: each `_x` becomes `X`.
fn camel(snake: &str) -> String {
    let mut text = String::with_capacity(snake.len());
    let mut raise = false;
    for sign in snake.chars() {
        match sign {
            '_' => raise = true,
            _ if raise => {
                text.push(sign.to_ascii_uppercase());
                raise = false;
            }
            _ => text.push(sign),
        }
    }
    text
}
