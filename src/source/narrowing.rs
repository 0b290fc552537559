//! What a token is narrowed to: by its rule, and by a person, who never gets more than the rule allows.

use super::TokenSource;
use crate::config::RuleScope;
use crate::names::{InstallationRef, Place, Repository};
use crate::token::{Permissions, RepositoryRef, Scope, may_use_contents};

/// To what a person narrows a token: never to more than the rule allows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Narrowing {
    /// Repositories of one owner; empty: as the rule says.
    pub(crate) repositories: Vec<Repository>,
    /// Permission names and their levels; empty: as the rule says.
    pub(crate) permissions: Permissions,
}

impl TokenSource<'_> {
    /// What the token is narrowed to.
    pub(super) fn scope(&self, place: &Place, installation: &InstallationRef) -> Scope {
        let by = |repository: &Repository| match installation.repository_id {
            Some(id) if place.repository() == Some(repository) => RepositoryRef::Id(id),
            _ => RepositoryRef::Name(repository.name.clone()),
        };
        let permissions = match self.narrowing.permissions.is_empty() {
            true => &self.rule.permissions,
            false => &self.narrowing.permissions,
        };
        let repositories = self.repositories(place).into_iter().map(by).collect();
        Scope { repositories, permissions: permissions.clone() }
    }

    /// The repositories that a token for a place is narrowed to; none: it is for all that the installation covers.
    pub(super) fn repositories<'p>(&'p self, place: &'p Place) -> Vec<&'p Repository> {
        if !self.narrowing.repositories.is_empty() {
            return self.narrowing.repositories.iter().collect();
        }
        match self.rule.scope() {
            RuleScope::Installation => Vec::new(),
            RuleScope::Repository => place.repository().into_iter().collect(),
            // An installation is on one owner.
            RuleScope::Listed => {
                let listed = self.rule.repositories.iter();
                listed.filter(|it| place.owner().is_none_or(|owner| it.owner == owner)).collect()
            }
        }
    }

    /// Whether a person wants a token for something else than git.
    pub(super) fn narrowing_is_without_contents(&self) -> bool {
        let permissions = &self.narrowing.permissions;
        !permissions.is_empty() && !may_use_contents(Some(permissions))
    }
}
