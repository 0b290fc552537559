//! What a person reads where the App is not installed.

use super::TokenSource;
use crate::cache::AppPage;
use crate::error::Error;
use crate::names::Place;

impl TokenSource<'_> {
    /// Which App is missing where, and where to install it.
    pub(super) fn not_installed(&self, place: &Place) -> Error {
        // Where the App's page is, only GitHub knows. Without it the message is less of a help, but still true.
        let page = self.cache.app_page(&self.api_key()).or_else(|| {
            let info = self.github().ok()?.app().ok()??;
            let page = AppPage { install: info.install_page(), slug: info.slug };
            self.cache.remember_app_page(&self.api_key(), &page);
            Some(page)
        });
        let app = page.as_ref().map_or(&self.rule.app_id, |page| &page.slug);
        let host = &self.rule.host;
        // The owner's installation does not cover it, as far as another repository's lookup told lately.
        if let Place::Repository(_, repository) = place
            && let Some(Some(_)) = self.cache.route(&self.owner_key(place))
        {
            let owner = &repository.owner;
            let error = Error::new(format!(
                "App {app} is installed on {host}/{owner}, but not for {host}/{repository}, or there is no such repository"
            ));
            let of_installation = self.owner_route(place).and_then(|route| route.page);
            let page = of_installation.or_else(|| page.map(|page| page.install));
            return match page {
                Some(page) => error.hint(format!("add the repository to the installation: {page}")),
                None => error.hint("add the repository on the installation's page"),
            };
        }
        let error = Error::new(match place {
            Place::Repository(_, repository) => {
                format!("App {app} is not installed on {host}/{repository}, or there is no such repository")
            }
            Place::Owner(_, owner) => format!("App {app} is not installed on {host}/{owner}"),
            Place::Host(_) => format!("App {app} has no installation on {host} that git can use"),
        });
        match page {
            Some(page) => error.hint(format!("install it at {}", page.install)),
            None => error.hint("install it from the App's page, for all repositories or for this one"),
        }
    }
}
