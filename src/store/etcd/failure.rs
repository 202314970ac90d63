//! Why etcd did not do what it was asked, and what to do about it.

use crate::store::StoreError;

/// gRPC's codes, as far as they tell something.
mod code {
    pub(super) const INVALID_ARGUMENT: u32 = 3;
    pub(super) const NOT_FOUND: u32 = 5;
    pub(super) const PERMISSION_DENIED: u32 = 7;
    pub(super) const RESOURCE_EXHAUSTED: u32 = 8;
    pub(super) const FAILED_PRECONDITION: u32 = 9;
    pub(super) const OUT_OF_RANGE: u32 = 11;
    pub(super) const UNAVAILABLE: u32 = 14;
    pub(super) const UNAUTHENTICATED: u32 = 16;
}

/// Why a request failed.
#[derive(Debug)]
pub(super) struct Failure {
    message: String,
    /// gRPC's code, where etcd answered.
    code: Option<u32>,
    /// Whether etcd may have got the request.
    sent: bool,
    maybe_applied: bool,
}

impl Failure {
    /// A failure before anything was asked of etcd, or in reading its answer to a question.
    pub(super) fn refused(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            code: None,
            sent: false,
            maybe_applied: false,
        }
    }

    pub(super) fn after_sending(message: impl Into<String>) -> Self {
        Self {
            sent: true,
            ..Self::refused(message)
        }
    }

    pub(super) fn answered(message: String, code: u32) -> Self {
        Self {
            code: Some(code),
            sent: true,
            ..Self::refused(message)
        }
    }

    /// The same failure of a request that changes something: unless it is certain that etcd did nothing, it may have.
    pub(super) fn maybe_applied(mut self) -> Self {
        let did_nothing = matches!(
            self.code,
            Some(
                code::INVALID_ARGUMENT
                    | code::NOT_FOUND
                    | code::PERMISSION_DENIED
                    | code::RESOURCE_EXHAUSTED
                    | code::FAILED_PRECONDITION
                    | code::OUT_OF_RANGE
                    | code::UNAUTHENTICATED
            )
        );
        self.maybe_applied = self.sent && !did_nothing;
        self
    }

    /// Whether the revision that was asked about is no longer known.
    pub(super) fn is_compacted(&self) -> bool {
        self.code == Some(code::OUT_OF_RANGE) && self.message.contains("compacted")
    }

    /// Whether what was named, a lease for instance, is not there.
    pub(super) fn is_not_found(&self) -> bool {
        self.code == Some(code::NOT_FOUND)
    }

    /// Whether our token is no longer good: it ran out, or users changed. Nothing was done.
    pub(super) fn wants_login(&self) -> bool {
        self.code == Some(code::UNAUTHENTICATED)
            || (self.code == Some(code::INVALID_ARGUMENT)
                && self.message.contains("revision of auth store is old"))
    }

    /// The same, with more to say where it says that.
    pub(super) fn where_said(mut self, text: &str, more: &str) -> Self {
        if self.message.contains(text) {
            self.message.push_str(more);
        }
        self
    }

    /// Whether a user was named to an etcd that asks for none.
    pub(super) fn is_auth_off(&self) -> bool {
        self.code == Some(code::FAILED_PRECONDITION)
            && self.message.contains("authentication is not enabled")
    }

    /// The same failure of a request that came before the one that matters, which was not sent.
    pub(super) fn before_asking(mut self) -> Self {
        self.sent = false;
        self
    }

    /// Whether another member may do better: this one is away, or without a leader.
    pub(super) fn is_of_the_member(&self) -> bool {
        match self.code {
            None => true,
            Some(code) => code == code::UNAVAILABLE,
        }
    }

    /// What to do about it, where etcd's own words do not say.
    fn help(&self) -> Option<&'static str> {
        let says = |text: &str| self.message.contains(text);
        Some(match self.code {
            Some(code::RESOURCE_EXHAUSTED) if says("space exceeded") => {
                "etcd's quota is used up (alarm NOSPACE), and it takes no writes: `etcdctl compact`, `etcdctl defrag` and then \
                 `etcdctl alarm disarm`, or a larger --quota-backend-bytes. What runs is kept as it is until then"
            }
            Some(code::PERMISSION_DENIED) => {
                "grant the user a role that may read and write all keys of the store: `etcdctl role grant-permission ROLE readwrite \
                 --prefix=true PREFIX/`"
            }
            Some(code::INVALID_ARGUMENT) if says("user name is empty") => {
                "this etcd asks who it is: set LONGSHORE_STORE_USER and LONGSHORE_STORE_PASSWORD"
            }
            Some(code::INVALID_ARGUMENT) if says("authentication failed") => {
                "look at LONGSHORE_STORE_USER and LONGSHORE_STORE_PASSWORD"
            }
            Some(code::INVALID_ARGUMENT) if says("request is too large") => {
                "etcd takes less than its default of 1.5 MiB at once: raise --max-request-bytes"
            }
            Some(code::INVALID_ARGUMENT) if says("too many operations") => {
                "etcd takes less than its default of 128 operations at once: raise --max-txn-ops"
            }
            _ => return None,
        })
    }

    pub(super) fn into_error(self, operation: &'static str) -> StoreError {
        StoreError::Unavailable {
            operation,
            message: self.to_string(),
            maybe_applied: self.maybe_applied,
        }
    }
}

impl std::fmt::Display for Failure {
    /// What etcd said, and what to do about it where that does not say.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)?;
        match self.help() {
            Some(help) => write!(f, ". {help}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_etcd_certainly_did_not_do_is_not_maybe_applied() {
        let of = |code| {
            Failure::answered(String::new(), code)
                .maybe_applied()
                .maybe_applied
        };
        assert!(
            !of(code::RESOURCE_EXHAUSTED)
                && !of(code::PERMISSION_DENIED)
                && !of(code::UNAUTHENTICATED)
        );
        assert!(of(code::UNAVAILABLE) && of(4) && of(13));
        assert!(
            !Failure::refused("no connection")
                .maybe_applied()
                .maybe_applied
        );
        assert!(
            Failure::after_sending("no answer")
                .maybe_applied()
                .maybe_applied
        );
    }

    #[test]
    fn etcds_refusals_come_with_what_to_do() {
        for (message, code, help) in [
            (
                "etcdserver: mvcc: database space exceeded",
                code::RESOURCE_EXHAUSTED,
                "alarm disarm",
            ),
            (
                "etcdserver: permission denied",
                code::PERMISSION_DENIED,
                "grant-permission",
            ),
            (
                "etcdserver: user name is empty",
                code::INVALID_ARGUMENT,
                "LONGSHORE_STORE_USER",
            ),
            (
                "etcdserver: too many operations in txn request",
                code::INVALID_ARGUMENT,
                "--max-txn-ops",
            ),
        ] {
            let error = Failure::answered(message.to_owned(), code).into_error("committing");
            let text = error.to_string();
            assert!(text.contains(message) && text.contains(help), "{text}");
        }
    }
}
