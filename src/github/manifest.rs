//! Registration of an App from a manifest, as far as the API has a part in it: the code is exchanged for the App and its key.
//!
//! <https://docs.github.com/rest/apps/apps#create-a-github-app-from-a-manifest>

use std::time::Duration;

use serde::Deserialize;
use serde::de::IgnoredAny;
use ureq::http::Method;

use super::answers::AppInfo;
use super::failures::{
    Failure, has_no_key_yet, is_unknown_app, is_unknown_key, malformed, message, other_refusal,
};
use super::reply::Reply;
use super::transport::{ApiRequest, MAX_ANSWER, Transport};
use super::{Credential, GitHub};
use crate::error::Error;
use crate::git::network::Way;
use crate::names::ApiUrl;
use crate::secret::Secret;
use crate::time::describe;
use crate::vendor::GITHUB;
use crate::world::World;

/// An App that was made a moment ago. The client secret and the webhook's secret that come with it are of no use here, and
/// are never taken out of the answer.
pub(crate) struct Made {
    pub(crate) app: AppInfo,
    /// The private key, in PEM.
    pub(crate) key: Secret,
}

/// What a code is exchanged for.
pub(crate) enum Exchanged {
    Made(Made),
    /// GitHub does not know the code: it was exchanged already, or is older than an hour.
    UnknownCode,
}

/// How far GitHub knows an App.
pub(crate) enum Standing {
    Ready,
    /// It knows no key of the App, or not this one: for a while after a registration its servers do not.
    NoKey,
    /// There is no such App, or not on every server yet.
    Unknown,
}

/// An API that is asked without an App: there is none yet.
pub(crate) struct Registry<'a> {
    transport: Transport<'a>,
    api: &'a ApiUrl,
    world: &'a World<'a>,
}

impl<'a> Registry<'a> {
    /// An API, how it is reached, and how long it may take in all.
    pub(crate) fn new(way: Way, api: &'a ApiUrl, world: &'a World<'a>, deadline: Duration) -> Self {
        Self { transport: Transport::new(way, api, "", world, &GITHUB, deadline), api, world }
    }

    /// An error if the API cannot be reached, or is none of GitHub's.
    /// <https://docs.github.com/rest/meta/meta#get-github-meta-information>
    pub(crate) fn check(&self) -> Result<(), Failure> {
        let reply = self.send(&Method::GET, "/meta", None)?;
        // A server may keep that to those who are signed in. It says so in GitHub's way.
        let is_json = serde_json::from_slice::<IgnoredAny>(&reply.body).is_ok();
        if (reply.status == 200 && is_json) || message(&reply.body).is_some() {
            return Ok(());
        }
        Err(Failure::Refused(other_refusal(self.api, &reply)))
    }

    /// Exchanges a code for the App and its key. GitHub does that once.
    pub(crate) fn exchange(&self, code: &Secret) -> Result<Exchanged, Failure> {
        #[derive(Deserialize)]
        struct Key {
            pem: Secret,
        }
        let path = format!("/app-manifests/{}/conversions", code.expose());
        let reply = self.send(&Method::POST, &path, Some(code.expose()))?;
        match reply.status {
            200 | 201 => {
                let malformed = |e| malformed(self.api, &reply, &e);
                let app: AppInfo = serde_json::from_slice(&reply.body).map_err(malformed)?;
                let Key { pem: key } = serde_json::from_slice(&reply.body).map_err(malformed)?;
                Ok(Exchanged::Made(Made { app, key }))
            }
            404 if message(&reply.body).is_some() => Ok(Exchanged::UnknownCode),
            _ => Err(Failure::Refused(other_refusal(self.api, &reply))),
        }
    }

    fn send(&self, method: &Method, path: &str, code: Option<&str>) -> Result<Reply, Failure> {
        let url = self.api.endpoint(path);
        let request =
            ApiRequest { method, url: &url, body: None, authorization: None, code, limit: MAX_ANSWER };
        self.transport.send(request).map_err(|failure| match failure {
            Failure::Limited(_, until) => {
                let what = format!("the rate limit of this machine's address on {} is used up", self.api);
                let wait = until.since(self.world.clock.now()).max(1);
                Failure::Limited(Error::new(what).hint(format!("try again in {}", describe(wait))), until)
            }
            other => other,
        })
    }
}

impl GitHub<'_> {
    /// How far GitHub knows this App.
    pub(crate) fn standing(&self) -> Result<Standing, Failure> {
        let reply = self.get(&self.api.endpoint(&self.vendor.app), Credential::App)?;
        match reply.status {
            200 => Ok(Standing::Ready),
            _ if has_no_key_yet(&reply) || is_unknown_key(&reply) => Ok(Standing::NoKey),
            _ if is_unknown_app(&reply) => Ok(Standing::Unknown),
            _ => Err(self.refusal(&reply, Credential::App)),
        }
    }
}
