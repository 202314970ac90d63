//! Inputs near those of the corpus, for toolchains without cargo-fuzz: a number of them that `LONGSHORE_FUZZ` names, always the
//! same for one seed. Nothing tells it what new code an input reaches, so it finds less than cargo-fuzz does.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use super::Target;
use crate::clock::{IdGen, SeededIds};
use crate::model::hex_sha256;

/// What breaks parsers more often than chance does.
const WORDS: [&str; 24] = [
    "\0",
    "\n",
    "\r",
    "\r\n",
    "\t",
    "\"",
    "'",
    "\\",
    "/",
    ":",
    "{",
    "}",
    "[",
    "]",
    "\u{feff}",
    "ä",
    "\u{2028}",
    "-1",
    "0",
    "4294967295",
    "9223372036854775807",
    "-9223372036854775808",
    "1e999",
    "null",
];

/// Tries so many inputs. What breaks a promise is written to `into`, and told of at the end.
pub fn run((name, check): Target, corpus: &[Vec<u8>], words: &[Vec<u8>], runs: u64, into: &Path) {
    let dice = SeededIds::new(u64::from(name.as_bytes()[0]) + runs);
    let mut broken = Vec::new();
    for _ in 0..runs {
        let input = mutated(corpus, words, dice.as_ref());
        if catch_unwind(AssertUnwindSafe(|| check(&input))).is_err() {
            fs::create_dir_all(into).expect("a folder");
            let path = into.join(format!("tried-{}", &hex_sha256(&input)[..12]));
            fs::write(&path, &input).expect("a file");
            broken.push(path);
        }
        assert!(broken.len() < 20, "{broken:?}");
    }
    assert!(broken.is_empty(), "{broken:?}");
}

fn mutated(corpus: &[Vec<u8>], words: &[Vec<u8>], dice: &dyn IdGen) -> Vec<u8> {
    let pick = |below: usize| (dice.bits() % below.max(1) as u64) as usize;
    let mut input = corpus[pick(corpus.len())].clone();
    for _ in 0..=pick(4) {
        let (at, length) = (pick(input.len() + 1), pick(16));
        let end = (at + length).min(input.len());
        match pick(7) {
            0 => drop(input.drain(at..end)),
            1 => {
                let piece = input[at..end].to_vec();
                let to = pick(input.len() + 1);
                input.splice(to..to, piece);
            }
            2 if at < input.len() => input[at] ^= 1 << pick(8),
            3 => {
                let word = WORDS[pick(WORDS.len())].bytes();
                input.splice(at..end.min(at + pick(2)), word);
            }
            4 if !words.is_empty() => {
                let word = words[pick(words.len())].clone();
                input.splice(at..at, word);
            }
            5 => {
                let other = &corpus[pick(corpus.len())];
                let from = pick(other.len() + 1);
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
            _ => {
                // A number becomes another.
                let digit = |byte: &u8| byte.is_ascii_digit();
                if let Some(start) = input[at..].iter().position(digit).map(|n| at + n) {
                    let end = input[start..].iter().position(|b| !digit(b));
                    let end = end.map_or(input.len(), |n| start + n);
                    let word = WORDS[17 + pick(WORDS.len() - 17)].bytes();
                    input.splice(start..end, word);
                }
            }
        }
    }
    input.truncate(4096.max(corpus[0].len()));
    input
}
