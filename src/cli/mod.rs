//! The commands. Each wires the rooms that it needs; only here and in `main` do errors lose their types.

pub mod serve;

/// Chooses aws-lc-rs for TLS and for tokens. Both libraries would panic at first use if none, or two, were compiled in
/// and none was chosen. Called once at the top of a process; further calls change nothing.
pub fn install_crypto() {
    // An error says that a provider is installed already: this one, as no other is compiled in.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let _ = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
}
