//! An engine in the hands of a leader: a call that changes something is made only while the leader is assured of its lead, so that a
//! process which was held up does nothing on the strength of what it decided before. Looking is free.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::leader::Leadership;
use crate::engine::{
    Attachment, CreateBody, Engine, EngineEvent, EngineInfo, EngineResult, EngineRun, EngineStream,
    ExecOptions, ExecSession, ImageInfo, LabelFilter, ListedImage, LogOptions, NetworkBody,
    ObservedContainer, ObservedNetwork, ObservedVolume, OutputChunk, PullProgress, RegistryAuth,
    SharedEngine, VolumeBody,
};
use crate::model::Timestamp;

#[derive(Debug)]
struct Leashed {
    engine: SharedEngine,
    leadership: Arc<Leadership>,
}

/// The engine as the leader's agents have it.
pub fn leashed(engine: SharedEngine, leadership: Arc<Leadership>) -> SharedEngine {
    Arc::new(Leashed { engine, leadership })
}

macro_rules! engine {
    (
        looks { $($look:ident($($seen:ident: $seen_type:ty),*) -> $found:ty;)* }
        changes { $($change:ident($($arg:ident: $type:ty),*) -> $out:ty;)* }
    ) => {
        #[async_trait]
        impl Engine for Leashed {
            $(async fn $look(&self, $($seen: $seen_type),*) -> EngineResult<$found> {
                self.engine.$look($($seen),*).await
            })*

            $(async fn $change(&self, $($arg: $type),*) -> EngineResult<$out> {
                self.leadership.assured().await;
                self.engine.$change($($arg),*).await
            })*
        }
    };
}

engine! {
    looks {
        info() -> EngineInfo;
        greet() -> EngineRun;
        list_containers(labels: &LabelFilter) -> Vec<ObservedContainer>;
        inspect_container(id: &str) -> ObservedContainer;
        image(reference: &str) -> Option<ImageInfo>;
        list_images() -> Vec<ListedImage>;
        list_networks(labels: &LabelFilter) -> Vec<ObservedNetwork>;
        list_volumes(labels: &LabelFilter) -> Vec<ObservedVolume>;
        inspect_volume(name: &str) -> ObservedVolume;
        events(since: Option<Timestamp>) -> EngineStream<EngineEvent>;
        logs(id: &str, options: &LogOptions) -> EngineStream<OutputChunk>;
        stats(id: &str) -> serde_json::Value;
        exec(id: &str, options: &ExecOptions) -> ExecSession;
        exec_exit_code(exec: &str) -> Option<i64>;
        exec_resize(exec: &str, size: (u16, u16)) -> ();
        attach_stdin(id: &str) -> Box<dyn Attachment>;
    }
    changes {
        create_container(name: &str, body: &CreateBody) -> String;
        start_container(id: &str) -> ();
        stop_container(id: &str, timeout: u32) -> ();
        remove_container(id: &str) -> ();
        pull_image(
            reference: &str,
            platform: Option<&str>,
            auth: Option<&RegistryAuth>,
            progress: &(dyn Fn(PullProgress) + Send + Sync)
        ) -> ();
        upload(id: &str, path: &str, archive: Bytes) -> ();
        import_image(reference: &str, rootfs: Bytes, changes: &[String]) -> ();
        remove_image(reference: &str) -> ();
        create_network(body: &NetworkBody) -> String;
        remove_network(id: &str) -> ();
        create_volume(body: &VolumeBody) -> ();
        remove_volume(name: &str) -> ();
    }
}
