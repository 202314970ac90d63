//! TLS to etcd, by the files that `etcdctl` takes.

use std::path::Path;
use std::sync::Arc;

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::address::TlsFiles;

/// Who is trusted, and what is shown. Reads the files; opens nothing.
///
/// # Errors
/// Which file is wrong, and how.
pub(super) fn client_config(files: &TlsFiles) -> Result<ClientConfig, String> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots(files.ca.as_deref())?);
    match (&files.cert, &files.key) {
        (Some(cert), Some(key)) => {
            let chain = certificates(cert)?;
            let secret = PrivateKeyDer::from_pem_file(key)
                .map_err(|error| format!("--store-key: cannot read {}: {error}", key.display()))?;
            builder
                .with_client_auth_cert(chain, secret)
                .map_err(|error| {
                    let (cert, key) = (cert.display(), key.display());
                    format!("{cert} and {key} do not make a client certificate: {error}")
                })
        }
        (None, None) => Ok(builder.with_no_client_auth()),
        (Some(_), None) => Err("--store-cert needs its key: give --store-key".to_owned()),
        (None, Some(_)) => Err("--store-key needs its certificate: give --store-cert".to_owned()),
    }
}

/// A named file's authorities and no others: a private authority is not to be outvoted by a public one.
fn roots(ca: Option<&Path>) -> Result<RootCertStore, String> {
    let mut store = RootCertStore::empty();
    match ca {
        Some(path) => {
            for certificate in certificates(path)? {
                let added = store.add(certificate);
                added.map_err(|error| format!("{}: {error}", path.display()))?;
            }
        }
        None => {
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    if store.is_empty() {
        return Err(
            "this machine trusts no certificate authority: give etcd's with --store-ca".to_owned(),
        );
    }
    Ok(store)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| format!("cannot read {}: {error}", path.display()));
    match read {
        Ok(list) if list.is_empty() => Err(format!("{} holds no certificate", path.display())),
        other => other,
    }
}
