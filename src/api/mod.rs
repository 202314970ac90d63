//! What a running Longshore tells others, over one unix socket: ECS's own JSON 1.1 protocol for whatever ECS has an
//! operation for, and plain HTTP for the rest.
//!
//! | Request | Answer |
//! |---|---|
//! | `POST /` with `X-Amz-Target: AmazonEC2ContainerServiceV20141113.<Op>` | ECS's shapes |
//! | `GET /v1/status` | [`StatusReport`](status::StatusReport) |
//! | `GET /v1/manifests` | enveloped documents with a `status` |
//! | `GET /v1/events`, `GET /v1/logs` | a JSON object a line |
//! | `POST /v1/exec` | upgraded to frames: input, output, sizes, exit code |
//! | `POST /v1/services/{cluster}/{name}/{suspend, resume, pause, unpause, restart, undo, retry}` | [`RolloutAnswer`](server::RolloutAnswer) |
//! | `GET /v1/state`, `POST /v1/state/backup` | the whole state; nothing |
//! | `POST /v1/down`, `POST /v1/shutdown` | a JSON object a line; nothing |
//!
//! The server only reads: the store's view, and engines for logs and exec. Whatever it is asked to *do* goes to the
//! daemon through [`Control`](context::Control). The folder is the truth, so ECS's writing operations are refused, with the
//! file to edit. Requests and answers never carry a secret's value: specifications hold secrets by reference (P9).

pub mod client;
pub mod conditions;
pub mod context;
pub mod documents;
pub mod ecs;
pub mod failures;
pub mod frame;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
pub mod kinds;
pub mod server;
pub mod shapes;
pub mod socket;
pub mod standing;
pub mod status;
pub mod streams;
pub mod summary;
pub mod time;

pub use context::{
    ApiContext, Control, Engines, FolderDiagnostic, FolderStatus, HeldResource, Identity,
    InstanceTrouble, LeaderStatus, PullStatus,
};
pub use failures::TaskFailure;
pub use server::{Server, bind};
pub use socket::{is_live, runtime_dir, socket_path};
pub use status::StatusReport;
pub use summary::{Phase, RolloutFailure, ServiceSummary, summaries};
