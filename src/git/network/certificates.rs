//! Which CAs are trusted, and by which certificate the client shows who it is.

use std::path::{Path, PathBuf};

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use ureq::tls::{Certificate, ClientCert, PrivateKey};
use zeroize::Zeroizing;

use super::settings::{Settings, is_false, whole};
use crate::error::{Error, Result, cause};

/// A client's certificate with its key, and where it is from.
pub(super) struct ClientCertificate {
    pub(super) certificate: ClientCert,
    pub(super) path: PathBuf,
}

/// CAs, and where they are from.
pub(super) struct NamedRoots {
    pub(super) certificates: Vec<Certificate<'static>>,
    pub(super) places: Vec<PathBuf>,
}

impl Settings<'_> {
    /// The certificate by which the client shows who it is, if one is named.
    pub(super) fn client_certificate(&self) -> Result<Option<ClientCertificate>> {
        let Some(path) = self.path("GIT_SSL_CERT", "sslcert")? else { return Ok(None) };
        let key_path = self.path("GIT_SSL_KEY", "sslkey")?.unwrap_or_else(|| path.clone());
        let unusable = |path: &Path, why: &str| {
            let what = format!("cannot use the client certificate in {}: {why}", path.display());
            Error::new(what).hint("http.sslCert and http.sslKey must name a certificate and its key, both in PEM and without a password")
        };
        let is_pem =
            |variable, name| self.text(variable, name).is_none_or(|kind| kind.eq_ignore_ascii_case("pem"));
        if !is_pem("GIT_SSL_CERT_TYPE", "sslcerttype") || !is_pem("GIT_SSL_KEY_TYPE", "sslkeytype") {
            return Err(unusable(&path, "it is said to be of another kind than PEM"));
        }
        let has_password =
            self.configured.get("sslcertpasswordprotected").is_some_and(|it| !is_false(&it.value));
        if has_password || self.variables.path("GIT_SSL_CERT_PASSWORD_PROTECTED").is_some() {
            return Err(unusable(&path, "it is said to have a password"));
        }
        let certificates = certificates_in(&path).map_err(|why| unusable(&path, &why))?;
        if certificates.is_empty() {
            return Err(unusable(&path, "there is no certificate in PEM format in it"));
        }
        let key = crate::files::read(&key_path).map_err(|e| unusable(&key_path, &cause(&e)))?;
        let key = PrivateKey::from_pem(&Zeroizing::new(key)).map_err(|_| {
            unusable(&key_path, "there is no private key in PEM format and without a password in it")
        })?;
        Ok(Some(ClientCertificate { certificate: ClientCert::new_with_certs(&certificates, key), path }))
    }

    /// The file and the folder of CAs that git or the environment name.
    fn named_file_and_folder(&self) -> Result<(Option<PathBuf>, Option<PathBuf>)> {
        let mut file = self.path("GIT_SSL_CAINFO", "sslcainfo")?;
        let mut folder = self.path("GIT_SSL_CAPATH", "sslcapath")?;
        if file.is_none() && folder.is_none() {
            let variable = |name| self.variables.path(name);
            file = variable("SSL_CERT_FILE").map(|path| whole("SSL_CERT_FILE", path.into())).transpose()?;
            if let Some(folders) = variable("SSL_CERT_DIR") {
                std::env::split_paths(&folders).try_for_each(|it| whole("SSL_CERT_DIR", it).map(drop))?;
                folder = Some(folders.into());
            }
            if file.is_none() && cfg!(target_os = "linux") {
                // The platform verifier reads SSL_CERT_DIR itself, which may be a list of folders.
                folder = None;
            }
        }
        Ok((file, folder))
    }

    /// The CAs that git or the environment name. They take the place of the system's, as they do in git.
    pub(super) fn named_roots(&self) -> Result<Option<NamedRoots>> {
        let (file, folder) = self.named_file_and_folder()?;
        if file.is_none() && folder.is_none() {
            return Ok(None);
        }
        let mut certificates = Vec::new();
        if let Some(file) = &file {
            certificates.extend(certificates_in(file).map_err(|why| unusable(file, &why))?);
        }
        if let Some(folder) = &folder {
            let entries = std::fs::read_dir(folder).map_err(|e| unusable(folder, &cause(&e)))?;
            for entry in entries.flatten() {
                // Such folders also hold lists of revoked certificates, and links that lead nowhere.
                certificates.extend(certificates_in(&entry.path()).unwrap_or_default());
            }
        }
        let places: Vec<PathBuf> = file.into_iter().chain(folder).collect();
        match places.first() {
            Some(path) if certificates.is_empty() => {
                Err(unusable(path, "there is no certificate in PEM format in it"))
            }
            _ => Ok(Some(NamedRoots { certificates, places })),
        }
    }
}

fn unusable(path: &Path, why: &str) -> Error {
    Error::new(format!("cannot use the CA certificates in {}: {why}", path.display())).hint(
        "they are named by http.sslCAInfo, http.sslCAPath, GIT_SSL_CAINFO, GIT_SSL_CAPATH or SSL_CERT_FILE",
    )
}

fn certificates_in(path: &Path) -> std::result::Result<Vec<Certificate<'static>>, String> {
    let pem = crate::files::read(path).map_err(|e| cause(&e))?;
    CertificateDer::pem_slice_iter(&pem)
        .map(|der| {
            der.map(|der| Certificate::from_der(&der).to_owned()).map_err(|_| "it is damaged".to_owned())
        })
        .collect()
}
