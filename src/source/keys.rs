//! The names under which tokens, routes and the API's state are cached.

use std::borrow::Cow;

use super::TokenSource;
use super::mint::MintedBy;
use crate::cache::{ApiStateKey, RouteKey, TokenKey};
use crate::names::{InstallationRef, Place};

impl TokenSource<'_> {
    /// The name under which a token for a place is cached: the App, the installation, and what it is narrowed to.
    pub(super) fn token_key(&self, minted_by: MintedBy<'_>, place: &Place) -> TokenKey {
        match minted_by {
            MintedBy::GitHub(installation) => {
                let scope = self.scope(place, installation);
                TokenKey::new(&self.rule.api, &self.rule.app_id, &installation.id, &scope)
            }
            MintedBy::Command(command) => {
                TokenKey::of_command(&command.command.words(), &self.place_for_command(place))
            }
        }
    }

    /// The name under which the token for a place is cached, if the installation is known without asking GitHub.
    pub(crate) fn cached_key(&self, place: &Place) -> Option<TokenKey> {
        if let Some(command) = self.rule.identity.token_command() {
            return Some(self.token_key(MintedBy::Command(command), place));
        }
        let remembered = || self.cache.old_route(&self.route_key(place));
        let configured = self.rule.installation.clone().map(InstallationRef::from);
        Some(self.token_key(MintedBy::GitHub(&configured.or_else(remembered)?), place))
    }

    /// Whether a token is of an installation and narrowed as this source narrows what it gives for a place.
    #[cfg(unix)]
    pub(crate) fn is_narrowed(&self, issued: &super::Issued, place: &Place) -> bool {
        let installation = issued.installation.as_ref();
        installation.is_some_and(|it| self.token_key(MintedBy::GitHub(it), place) == issued.key)
    }

    pub(super) fn route_key(&self, place: &Place) -> RouteKey {
        let (kind, name) = self.routed(place).kind_and_name();
        RouteKey::new(&self.rule.api, &self.rule.app_id, kind, &name)
    }

    /// The name of what is remembered about the owner of a place, as [`Self::route_key`] has it for the owner alone.
    pub(super) fn owner_key(&self, place: &Place) -> RouteKey {
        match place {
            Place::Repository(host, repository) => {
                self.route_key(&Place::Owner(host.clone(), repository.owner.clone()))
            }
            Place::Owner(..) | Place::Host(_) => self.route_key(place),
        }
    }

    /// What is looked up for a place: the owner of a repository where the API has no installation of a repository.
    pub(super) fn routed<'p>(&self, place: &'p Place) -> Cow<'p, Place> {
        match place {
            Place::Repository(host, repository)
                if self.rule.vendor().installation_of_repository.is_empty() =>
            {
                Cow::Owned(Place::Owner(host.clone(), repository.owner.clone()))
            }
            place => Cow::Borrowed(place),
        }
    }

    pub(super) fn api_key(&self) -> ApiStateKey {
        ApiStateKey::new(&self.rule.api, &self.rule.app_id)
    }
}
