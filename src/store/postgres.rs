//! How is a PostgreSQL database reached, brought to the newest schema, and heard?
//!
//! TLS with the server's certificate and name verified, or a socket or address of this very host: nothing else. Each
//! process has two connections, one for its work and one that listens.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgListener, PgPoolOptions, PgSslMode};
use sqlx::{ConnectOptions, Connection as _, Postgres, Transaction};

use super::fault::StoreFault;
use super::schema;

/// Where the database is.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The host's name; or, where it begins with a slash, the folder of its socket.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// As whom we come.
    pub user: String,
    /// Which database; Trackgate's own.
    pub database: String,
    /// The file that holds the password, read anew for each connection.
    pub password_file: Option<PathBuf>,
    /// The certificate of the authority that vouches for the server, besides those that are known to all.
    pub ca: Option<PathBuf>,
    /// Without TLS: for a server on this very host alone.
    pub plain: bool,
}

/// The lock that writers hold: no two changes at once, by whatever process.
const WRITERS: i64 = 0x7472_6163_6b67_6174;
/// The lock that all share who have the store open, so that nobody puts another store in its place meanwhile.
const OPEN: i64 = 0x7472_6163_6b67_6f70;
/// The channel that says: there is something new.
const CHANNEL: &str = "trackgate";
/// How often to look whether others have gone.
const LOOK: Duration = Duration::from_millis(50);
/// How long reaching the database may take.
const REACH: Duration = Duration::from_secs(5);

impl Settings {
    fn options(&self) -> Result<PgConnectOptions, StoreFault> {
        let mut options = PgConnectOptions::new_without_pgpass()
            .host(&self.host)
            .port(self.port)
            .username(&self.user)
            .database(&self.database)
            .application_name("trackgate")
            // INVARIANT: acknowledged is on the disk, whatever the role's settings say. A connection that is gone keeps
            // nobody waiting: neither for its lock nor for its silence.
            .options([
                ("synchronous_commit", "on"),
                ("idle_in_transaction_session_timeout", "10s"),
                ("statement_timeout", "30s"),
                ("tcp_keepalives_idle", "10"),
                ("tcp_keepalives_interval", "5"),
                ("tcp_keepalives_count", "3"),
            ])
            .ssl_mode(if self.plain { PgSslMode::Disable } else { PgSslMode::VerifyFull });
        if let Some(ca) = &self.ca {
            options = options.ssl_root_cert(ca);
        }
        if let Some(password) = self.password()? {
            options = options.password(password.expose_secret());
        }
        Ok(options.disable_statement_logging())
    }

    fn password(&self) -> Result<Option<SecretString>, StoreFault> {
        let Some(file) = &self.password_file else { return Ok(None) };
        let text = std::fs::read_to_string(file).map_err(|error| StoreFault::Place {
            path: file.clone(),
            why: format!("holds no password that can be read: {error}"),
        })?;
        Ok(Some(SecretString::from(text.trim_end_matches(['\r', '\n']))))
    }
}

impl std::fmt::Display for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "postgres://{}@{}:{}/{}", self.user, self.host, self.port, self.database)
    }
}

/// Connects, and keeps the store from being replaced as long as the connection lasts.
pub(super) async fn connect(settings: &Settings) -> Result<PgConnection, StoreFault> {
    let mut connection = reach(settings).await?;
    if lock(&mut connection, "SELECT pg_try_advisory_lock_shared($1)").await? {
        return Ok(connection);
    }
    let _ = connection.close().await;
    Err(StoreFault::Restoring)
}

/// Connects if nobody else has the store open; until [`let_in`] nobody opens it.
pub(super) async fn connect_alone(settings: &Settings, wait: Duration) -> Result<PgConnection, StoreFault> {
    let mut connection = reach(settings).await?;
    let begun = tokio::time::Instant::now();
    while !lock(&mut connection, "SELECT pg_try_advisory_lock($1)").await? {
        // The server takes a moment to see that whoever had it open has gone.
        if begun.elapsed() >= wait {
            let _ = connection.close().await;
            return Err(StoreFault::Locked);
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(connection)
}

/// Lets others open the store again. The end of the connection does so too, but the server sees it a moment later.
pub(super) async fn let_in(connection: &mut PgConnection) -> Result<(), StoreFault> {
    lock(connection, "SELECT pg_advisory_unlock($1)").await.map(drop)
}

async fn lock(connection: &mut PgConnection, how: &'static str) -> Result<bool, StoreFault> {
    Ok(sqlx::query_scalar(how).bind(OPEN).fetch_one(connection).await?)
}

async fn reach(settings: &Settings) -> Result<PgConnection, StoreFault> {
    let options = settings.options()?;
    let mut connection = tokio::time::timeout(REACH, options.connect()).await.map_err(|_| StoreFault::TooSlow)??;
    let encoding: String = sqlx::query_scalar("SHOW server_encoding").fetch_one(&mut connection).await?;
    if encoding != "UTF8" {
        return Err(StoreFault::Corrupt(format!("its encoding is {encoding}, not UTF8")));
    }
    Ok(connection)
}

/// Connects and brings the database to the newest schema. Of several processes that start at once one does so, under a
/// lock, and the others wait.
pub(super) async fn open(settings: &Settings) -> Result<PgConnection, StoreFault> {
    let mut connection = connect(settings).await?;
    let migrated = schema::migrator().run_direct(None, &mut connection, false).await;
    if migrated.is_err() {
        // The lock goes with the connection.
        let _ = connection.close().await;
    } else {
        return Ok(connection);
    }
    Err(migrated.map_err(StoreFault::from).err().unwrap_or(StoreFault::Closed))
}

/// Waits for other writers, within a limit.
pub(super) async fn alone(t: &mut Transaction<'_, Postgres>, wait: Duration) -> Result<(), StoreFault> {
    sqlx::query("SELECT set_config('lock_timeout', $1, true)")
        .bind(wait.as_millis().to_string())
        .execute(&mut **t)
        .await?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(WRITERS).execute(&mut **t).await?;
    Ok(())
}

/// Tells all who listen, once the transaction has come to its end.
pub(super) async fn notify(t: &mut Transaction<'_, Postgres>) -> Result<(), StoreFault> {
    sqlx::query("SELECT pg_notify($1, '')").bind(CHANNEL).execute(&mut **t).await?;
    Ok(())
}

/// Listens for ever, and calls `wake` when something may be new: at each notice, and after each lost connection.
pub(super) async fn listen(settings: Settings, wake: impl Fn()) {
    loop {
        match hear(&settings, &wake).await {
            Ok(()) => {}
            // The poll finds what was not heard.
            Err(error) => tracing::debug!(%error, "nobody tells of changes; they are looked for"),
        }
        wake();
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

async fn hear(settings: &Settings, wake: &impl Fn()) -> Result<(), StoreFault> {
    let options = settings.options()?;
    let pool = PgPoolOptions::new().max_connections(1).acquire_timeout(REACH).connect_with(options).await?;
    let mut listener = PgListener::connect_with(&pool).await?;
    listener.listen(CHANNEL).await?;
    wake();
    // A connection that was lost comes back as nothing heard: the password may be another one by now.
    while listener.try_recv().await?.is_some() {
        wake();
    }
    Ok(())
}
