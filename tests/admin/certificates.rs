//! Test certificates.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    date_time_ymd,
};

use crate::broker::Setup;

/// An authority; its certificate is in the file `NAME-ca.pem`.
pub(crate) struct Authority<'a> {
    setup: &'a Setup,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl<'a> Authority<'a> {
    pub(crate) fn new(setup: &'a Setup, name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        setup.write(&format!("{name}-ca.pem"), &issuer.pem());
        Self { setup, issuer }
    }

    /// Writes `FILE.pem` and `FILE.key`, for these names and for both ends of a
    /// connection.
    pub(crate) fn issue(&self, file: &str, names: &[&str]) {
        self.write(file, &params(names));
    }

    /// Writes a certificate that expired long ago.
    pub(crate) fn issue_expired(&self, file: &str, names: &[&str]) {
        let mut params = params(names);
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(2001, 1, 1);
        self.write(file, &params);
    }

    fn write(&self, file: &str, params: &CertificateParams) {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        self.setup.write(&format!("{file}.pem"), &certificate.pem());
        self.setup
            .write(&format!("{file}.key"), &key.serialize_pem());
    }
}

fn params(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    params
}
