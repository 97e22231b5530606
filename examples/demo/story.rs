//! What does the demo do, in order?

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::Args;
use super::stage::authority::Authority;
use super::stage::gate::{public_url, redirect_uri};
use super::stage::gcs::Emulator;
use super::stage::idp::{Provider, Settings as IdpSettings};
use super::stage::mlflow::{Artifacts, Rows, Server};
use super::stage::postgres::Postgres;
use super::stage::python::Environment;
use super::stage::{Fault, go_on, ignored_folder, must_be_free, step, took};

/// Trackgate's name at the identity provider.
const CLIENT: &str = "trackgate-demo";

/// Sets the stage, tells the story, stays.
pub(super) fn tell(args: &Args) -> Result<(), Fault> {
    let begun = Instant::now();
    println!("Trackgate demo: setting up");
    must_be_free(args.port, "--port")?;
    must_be_free(args.idp_port, "--idp-port")?;
    if args.postgres {
        Postgres::programs()?;
    }
    let environment = Environment::with_mlflow()?;
    let folder = fresh_folder()?;

    let authority = Authority::new(&folder)?;
    let postgres = match args.postgres {
        true => Some(step("PostgreSQL that accepts TLS only", || {
            Postgres::start(&authority, &folder.join("postgres.log"))
        })?),
        false => None,
    };
    let emulator = match args.gcs {
        true => {
            let environment = Environment::with_emulator()?;
            Some(step("Cloud Storage emulator", || Emulator::start(&environment, &folder.join("gcs-emulator.log")))?)
        }
        false => None,
    };
    let rows = postgres.as_ref().map_or(Rows::Sqlite, Rows::Postgres);
    let artifacts = emulator.as_ref().map_or(Artifacts::Folder, Artifacts::Bucket);
    let mut server = Server::start(&environment, &folder.join("mlflow"), &rows, &artifacts)?;

    let provider = step("identity provider", || {
        Provider::start(
            IdpSettings {
                port: args.idp_port,
                client_id: CLIENT.to_owned(),
                client_secret: "demo-secret".to_owned(),
                redirect_uri: redirect_uri(args.port),
                after_logout: public_url(args.port),
            },
            &authority.pair(&folder, "idp", &["localhost"])?,
        )
    })?;
    step(format!("mlflow server at {} (some 20 s of processor time)", server.url()), || server.wait())?;
    println!("Ready after {}: {}", took(begun.elapsed()), provider.issuer());
    while !args.once {
        go_on()?;
        if server.kept().ended()? {
            return Err(Fault::Unexpected(format!("mlflow ended by itself: {}", server.kept().said())));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// The demo's own folder, empty: each start begins anew.
fn fresh_folder() -> Result<PathBuf, Fault> {
    let folder = ignored_folder().join("demo");
    if folder.exists() {
        std::fs::remove_dir_all(&folder).map_err(Fault::io(format!("clearing {}", folder.display())))?;
    }
    std::fs::create_dir_all(&folder).map_err(Fault::io(format!("making {}", folder.display())))?;
    Ok(folder)
}
