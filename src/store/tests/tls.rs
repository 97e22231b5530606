//! TLS to PostgreSQL: whose certificate is taken, and whose is not?

use super::certs::Authority;
use super::cluster::{Cluster, Door, start_with};
use super::*;

/// A server with a certificate for this name.
fn server(name: &str, authority: &Authority, host: &str) -> Option<Cluster> {
    let (certificate, key) = authority.issue_for(&[host]);
    start_with(name, &Door::Tls { certificate, key })
}

async fn open(cluster: &Cluster, host: &str, ca: Option<&Authority>) -> Result<(Place, Store), StoreFault> {
    // An error says that it is installed already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let address = format!("postgres://trackgate@{host}:{}/{}", cluster.port, cluster.database().await);
    let mut database = Postgres::parse(&address).unwrap();
    assert!(!database.plain);
    let mut place = Place::new();
    if let Some(ca) = ca {
        let file = place.0.join("ca.pem");
        fs::write(&file, &ca.ca_pem).unwrap();
        database.ca = Some(file);
    }
    place.1 = Engine::Postgres(database);
    Store::open(&place.settings(), Clock::System).await.map(|store| (place, store))
}

fn refused(opened: Result<(Place, Store), StoreFault>, why: &str) {
    let fault = opened.err().unwrap_or_else(|| panic!("{why}: it was opened"));
    // The certificate is what was refused, and not the server that was not there.
    let told = fault.to_string().to_lowercase();
    assert!(["certificate", "tls"].iter().any(|word| told.contains(word)), "{why}: {told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_the_right_authority_vouches_for_is_used_encrypted() {
    let authority = Authority::new();
    let Some(cluster) = server("tls-right", &authority, "localhost") else { return };
    let (place, store) = open(&cluster, "localhost", Some(&authority)).await.unwrap();
    let other = Store::open(&place.settings(), Clock::System).await.unwrap();
    // Every connection is, the one that listens too.
    let mut admin = cluster.connect("postgres").await;
    let (all, encrypted): (i64, i64) = sqlx::query_as(
        "SELECT count(*), count(*) FILTER (WHERE ssl AND version IN ('TLSv1.2', 'TLSv1.3')) FROM pg_stat_ssl \
         JOIN pg_stat_activity USING (pid) WHERE application_name = 'trackgate'",
    )
    .fetch_one(&mut admin)
    .await
    .unwrap();
    assert!(all >= 2 && all == encrypted, "{encrypted} of {all} connections are encrypted");
    let read = grant("user:alice", Kind::Experiment, "7", Permission::Read);
    store.grant(&home(), read, by()).await.unwrap();
    until("the other is told", || other.grants().len() == 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_another_authority_vouches_for_is_refused() {
    let authority = Authority::new();
    let Some(cluster) = server("tls-wrong", &authority, "localhost") else { return };
    refused(open(&cluster, "localhost", Some(&Authority::new())).await, "another authority");
    refused(open(&cluster, "localhost", None).await, "authorities known to all");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_with_the_certificate_of_another_name_is_refused() {
    let authority = Authority::new();
    let Some(cluster) = server("tls-name", &authority, "db.example.com") else { return };
    refused(open(&cluster, "localhost", Some(&authority)).await, "another name");
    refused(open(&cluster, "127.0.0.1", Some(&authority)).await, "another address");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_tls_is_refused_where_tls_is_demanded() {
    let Some(cluster) = start_with("tls-plain", &Door::Plain) else { return };
    refused(open(&cluster, "localhost", Some(&Authority::new())).await, "no TLS");
    let address =
        format!("postgres://trackgate@localhost:{}/{}?sslmode=disable", cluster.port, cluster.database().await);
    let place = Place::with(Engine::Postgres(Postgres::parse(&address).unwrap()));
    place.open().await.close().await;
}
