//! Who asks, and in which workspace?
//!
//! Strangers are refused here. Nothing of a request's body has been read by then.

use std::sync::Arc;

use super::refusal::Refusal;
use super::{Gate, clean, faults};
use crate::access::decide::visible;
use crate::access::identity::Principal;
use crate::audit::Record;
use crate::authenticate::credential::Credentials;
use crate::authenticate::help::Help;
use crate::message::Request;
use crate::mlflow::ids::WorkspaceName;
use crate::mlflow::resource::Resource;
use crate::policy::classify::{Call, Classified};
use crate::policy::route::Scope;
use crate::store::PrincipalFault;

impl Gate {
    /// Whether the call is answered without asking who calls. Behind IAP that is the probe alone.
    pub(super) fn lets_strangers_in(&self, classified: &Classified, request: &Request) -> bool {
        match classified {
            Classified::Call(call) if call.row.open_to_strangers() => {
                call.row.name == "Live" || !self.house.authenticator.demands_iap(request.peer.door)
            }
            Classified::Call(_) | Classified::WrongMethod | Classified::Unknown => false,
        }
    }

    /// Who asks. Strangers are refused here: the few rows for them do not come this way.
    pub(super) async fn recognise(
        &self,
        classified: &Classified,
        request: &Request,
        credentials: &Credentials,
        record: &mut Record,
    ) -> Result<Arc<Principal>, Refusal> {
        let house = &*self.house;
        let help = Help::at(house.authenticator.public_url());
        let authenticated = house.authenticator.authenticate(&request.peer, credentials).await;
        let authenticated = authenticated.map_err(|fault| faults::unrecognised(fault, help))?;
        let Some(authenticated) = authenticated else { return Err(faults::stranger(&request.headers, help)) };
        record.who(Arc::clone(&authenticated.identity));
        if authenticated.moved {
            record.moved();
        }
        // What strangers may call does nothing on the strength of who calls, or looks at the origin by itself.
        let open = matches!(classified, Classified::Call(call) if call.row.open_to_strangers());
        if authenticated.is_ambient() && !open {
            clean::check_origin(request, &house.clean)?;
        }
        let identity = house.authenticator.with_groups(authenticated.identity).await;
        let identity = identity.map_err(|fault| faults::unrecognised(fault, help))?;
        let workspace = request.workspace.clone().unwrap_or_default();
        let principal = |identity| match classified {
            Classified::Call(call) if call.row.scope == Scope::Workspaces => house.store.tenant(identity, &workspace),
            Classified::Call(_) | Classified::WrongMethod | Classified::Unknown => {
                house.store.principal(identity, &workspace)
            }
        };
        match principal(Arc::clone(&identity)) {
            Err(PrincipalFault::Unrecognised) => {
                Box::pin(house.store.recognise(&identity)).await.map_err(|fault| faults::nobody(fault, help))?;
                principal(identity)
            }
            known => known,
        }
        .map_err(|fault| faults::nobody(fault, help))
    }

    /// Whether the caller may know of the workspace, and whether the server does.
    pub(super) async fn check_workspace(
        &self,
        call: &Call,
        principal: &Principal,
        workspace: &WorkspaceName,
    ) -> Result<(), Refusal> {
        if call.is_local() || call.row.scope == Scope::Anywhere || workspace.is_default() {
            return Ok(());
        }
        let belongs = match call.row.scope {
            Scope::Inside | Scope::Anywhere => principal.belongs(),
            Scope::Workspaces => visible(principal, &Resource::of_workspace(workspace)),
        };
        if !belongs {
            return Err(faults::no_such_workspace(workspace));
        }
        Ok(Box::pin(self.house.resolver.has_workspaces(&self.upstream)).await?)
    }
}
