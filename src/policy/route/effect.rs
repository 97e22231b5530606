//! What follows from a call: owners, moved and ended grants, and whose name it is made under.

use crate::mlflow::resource::Kind;

/// What follows from success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    None,
    /// The caller gets MANAGE on the new object.
    Owns {
        /// What was made.
        kind: Kind,
        /// Where its id stands (not read for [`New::IfAbsent`]): `a.b` in the answer, `{a}` in the path or a field of the request, `a/{b}` in two places
        /// ([`Kind::join`]).
        id: &'static str,
        /// When the object is new.
        new: New,
    },
    /// Grants move from the old name to the new one.
    Renames {
        /// What is renamed.
        kind: Kind,
        /// The request's field (or path capture, in braces) that holds the old name, as a need spells it.
        from: &'static str,
        /// That of the new one.
        to: &'static str,
    },
    /// Grants on the object are removed.
    Forgets {
        /// What is gone.
        kind: Kind,
        /// The request's field (or path capture, in braces) that names it, as a need spells it.
        field: &'static str,
        /// A field with which only a part of it goes, a version: then nothing follows.
        unless: Option<&'static str>,
    },
}

/// When is an object that a call answers with a new one? Nobody comes to own what was there before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum New {
    /// Always: MLflow refuses the call where there is one already.
    Always,
    /// Whatever was not there before the call ([`super::Need::OnOrCreate`] has looked), if nobody else made it since.
    IfAbsent,
    /// When the number at this place of the answer is 1: it is the first version.
    First(&'static str),
}

/// A place in a body where MLflow takes the word of whoever writes for who did something. It becomes the caller's own
/// name before the request is passed on; all other bytes stay. Places are paths as in [`super::Need::On`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stamp {
    /// A text: it becomes the caller's name, and is added where it is absent (`user_id`, `created_by`). Nothing is
    /// added where an object on the way to it is absent.
    Text(&'static str),
    /// The keys of a list of tags, `{"key": ..., "value": ...}`, as `tags[].key`: the tag with the key `mlflow.user` gets
    /// the caller's name, and is added where it is absent.
    Tags(&'static str),
    /// The same where the tags are the members of an object, which is named.
    Map(&'static str),
    /// The same as [`Stamp::Tags`] where such a tag is given; it is not added.
    GivenTags(&'static str),
    /// The same as [`Stamp::Map`] where such a tag is given; it is not added.
    GivenMap(&'static str),
    /// A text: it becomes the caller's name where one is given, and is not added (`completed_by`).
    Given(&'static str),
    /// A text that holds JSON itself: an object whose members are tags, or a list of objects that hold such a one in
    /// their member `tags`. Where `mlflow.user` is among them it gets the caller's name; it is not added.
    Json(&'static str),
    /// The `source_id` of an assessment's source: it becomes the caller's name, unless the `source_type` beside it says
    /// that a model or a program speaks.
    Source(&'static str),
}
