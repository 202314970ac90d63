//! What is asserted of whatever etcd answers, for the fuzz targets.

use hyper::StatusCode;

use super::gateway::read;
use super::wire::{
    KeptAlive, LeaseAnswer, RangeAnswer, TxnAnswer, WatchLine, decode, encode, range_end,
};

/// The first line says which answer the rest is: its status and its kind (`200 range`), or `prefix` and the prefix.
pub fn answers(data: &[u8]) {
    let Some(at) = data.iter().position(|byte| *byte == b'\n') else {
        return;
    };
    let (first, rest) = (&data[..at], &data[at + 1..]);
    if let Some(prefix) = first.strip_prefix(b"prefix ") {
        return range(prefix, rest);
    }
    let Ok(first) = std::str::from_utf8(first) else {
        return;
    };
    let (status, kind) = first.split_once(' ').unwrap_or((first, ""));
    let Some(status) = status
        .parse()
        .ok()
        .and_then(|s| StatusCode::from_u16(s).ok())
    else {
        return;
    };
    match kind {
        "range" => drop(read::<RangeAnswer>(status, rest).map(|answer| {
            for kv in &answer.kvs {
                if let Ok(key) = decode(&kv.key) {
                    assert_eq!(encode(&key), kv.key);
                }
            }
        })),
        "txn" => drop(read::<TxnAnswer>(status, rest).map(|answer| {
            for at in 0..4 {
                answer.kv(at);
            }
        })),
        "lease" => drop(read::<LeaseAnswer>(status, rest)),
        "alive" => drop(read::<KeptAlive>(status, rest)),
        "watch" => drop(read::<WatchLine>(status, rest)),
        _ => {}
    }
    if status != StatusCode::OK {
        assert!(read::<RangeAnswer>(status, rest).is_err());
    }
}

/// What begins with a prefix is in its range, and nothing else is.
fn range(prefix: &[u8], key: &[u8]) {
    let end = decode(&range_end(prefix)).expect("it is base64");
    let to_the_end = end == [0];
    let within = key >= prefix && (to_the_end || key < end.as_slice());
    // A single zero byte as a key is what etcd cannot tell from "to the end".
    assert_eq!(
        within,
        key.starts_with(prefix),
        "{prefix:?} {key:?} {end:?}"
    );
}
