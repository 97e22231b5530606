//! Who is there?

/// Somebody who can be proven to Trackgate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    /// How the stage calls them.
    pub key: &'static str,
    /// Their name.
    pub name: &'static str,
    /// Their verified mail address: the user name in Trackgate.
    pub email: &'static str,
    /// The provider's own identifier for them.
    pub sub: &'static str,
    /// Their groups.
    pub groups: &'static [&'static str],
    /// What they may do, for the sign-in page.
    pub about: &'static str,
    /// Whether they sign in with a browser, or are a service account.
    pub person: bool,
}

/// Administers Trackgate.
pub const ADMIN: Account = Account {
    key: "admin",
    name: "Ada Admin",
    email: "admin@demo.example",
    sub: "1000",
    groups: &[],
    about: "administers Trackgate: sees and may do everything",
    person: true,
};

/// Owns an experiment and a model.
pub const OWNER: Account = Account {
    key: "owner",
    name: "Olga Owner",
    email: "owner@demo.example",
    sub: "1001",
    groups: &["data-science"],
    about: "owns the iris experiment and its model: MANAGE; may create more",
    person: true,
};

/// May look at what the owner owns.
pub const READER: Account = Account {
    key: "reader",
    name: "Rita Reader",
    email: "reader@demo.example",
    sub: "1002",
    groups: &["reviewers"],
    about: "may read the iris experiment and its model: READ",
    person: true,
};

/// Signs in, and holds nothing.
pub const GUEST: Account = Account {
    key: "guest",
    name: "Gus Guest",
    email: "guest@demo.example",
    sub: "1003",
    groups: &[],
    about: "holds no grant at all",
    person: true,
};

/// The service account that trains.
pub const TRAINER: Account = Account {
    key: "trainer",
    name: "Training pipeline",
    email: "trainer@demo.example",
    sub: "2000",
    groups: &[],
    about: "the service account of the training pipeline",
    person: false,
};

/// All of them.
pub const ACCOUNTS: [Account; 5] = [ADMIN, OWNER, READER, GUEST, TRAINER];
