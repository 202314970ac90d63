//! What a container's command does, as far as the simulated engine understands it: a small part of the shell and of
//! busybox, compiled to a program of few operations that [`process`](super::process) steps through in virtual time.
//!
//! Understood: `sleep`, `true`, `false`, `echo`, `printf`, `exit`, `touch`, `rm`, `cat`, `test`, `trap … TERM`, `wait`,
//! `nslookup`, `sh -c`, lists with `;` `&&` `||` `&`, `if`, `while`, redirections to files, quotes and `$NAME`. A program that is not
//! known here does nothing and succeeds, unless it comes last: then it runs for ever, as a server does. A script with a
//! construct that is not known here runs for ever.

mod words;

use std::collections::BTreeMap;
use std::time::Duration;

use self::words::{NotUnderstood, Parsed, Redirect, SUBSTITUTED, Token, tokens};
use crate::engine::OutputStream;

/// One step of a program. Jumps hold indices into the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// Writes text.
    Print(OutputStream, String),
    /// Lets time pass; `None`: for ever. A process that waits (rather than runs a child) hears signals at once.
    Sleep {
        /// How long.
        time: Option<Duration>,
        /// Whether a trap runs at once, or when the time is over.
        interruptible: bool,
    },
    /// Sets the status.
    Status(i64),
    /// Turns success to failure and back.
    Negate,
    /// Ends the program with this status, or the present one.
    Exit(Option<i64>),
    /// Writes a file: path, text, append.
    Write(String, String, bool),
    /// Makes a file.
    Touch(String),
    /// Removes a file.
    Remove(String),
    /// Succeeds if the file is there.
    Exists(String),
    /// Copies standard input to standard output until it ends.
    Cat,
    /// Prints a file.
    CatFile(String),
    /// Succeeds if the name has an address on a network of the container.
    Resolve(String),
    /// Goes on there.
    Jump(usize),
    /// Goes on there if the status is success (`true`) or failure (`false`).
    JumpIf(bool, usize),
    /// From now on SIGTERM ends the program with this status, or is ignored.
    Trap(Option<i64>),
    /// A program that is not known here.
    Unknown(String),
}

/// What a command line was understood as.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Program {
    /// Its steps; it ends after the last with the status that it has then.
    pub ops: Vec<Op>,
}

impl Program {
    /// Whether every program in it is known here, so that its verdict means something.
    pub fn is_understood(&self) -> bool {
        !self.ops.iter().any(|op| matches!(op, Op::Unknown(_)))
    }

    /// Whether it asks for an address.
    pub fn resolves_names(&self) -> bool {
        self.ops.iter().any(|op| matches!(op, Op::Resolve(_)))
    }
}

/// Compiles a command line of a container with these environment variables.
pub fn compile(argv: &[String], env: &BTreeMap<String, String>) -> Program {
    let mut compiler = Compiler {
        env,
        ops: Vec::new(),
    };
    if compiler.command(argv, &[]).is_err() {
        let program = argv.first().cloned().unwrap_or_default();
        return Program {
            ops: vec![Op::Unknown(program)],
        };
    }
    Program { ops: compiler.ops }
}

struct Compiler<'a> {
    env: &'a BTreeMap<String, String>,
    ops: Vec<Op>,
}

impl Compiler<'_> {
    /// A whole script. An `exit` ends the program, also where the script is only a part of another.
    fn script(&mut self, text: &str) -> Parsed<()> {
        let tokens = tokens(text, self.env)?;
        let mut rest = tokens.as_slice();
        self.list(&mut rest, &[])?;
        if !rest.is_empty() {
            return Err(NotUnderstood);
        }
        Ok(())
    }

    /// Commands up to one of the words in `until`, which is left in `rest`.
    fn list(&mut self, rest: &mut &[Token], until: &[&str]) -> Parsed<()> {
        loop {
            while let [Token::Then | Token::Background, tail @ ..] = *rest {
                *rest = tail;
            }
            match rest.first() {
                None if until.is_empty() => return Ok(()),
                None => return Err(NotUnderstood),
                Some(Token::Word(word)) if until.contains(&word.as_str()) => return Ok(()),
                Some(_) => self.and_or(rest)?,
            }
        }
    }

    fn and_or(&mut self, rest: &mut &[Token]) -> Parsed<()> {
        self.one(rest)?;
        loop {
            let skip_when = match rest.first() {
                Some(Token::And) => false,
                Some(Token::Or) => true,
                _ => return Ok(()),
            };
            *rest = rest.get(1..).unwrap_or_default();
            while let [Token::Then, tail @ ..] = *rest {
                *rest = tail;
            }
            let jump = self.placeholder();
            self.one(rest)?;
            self.patch(jump, Op::JumpIf(skip_when, self.ops.len()));
        }
    }

    fn one(&mut self, rest: &mut &[Token]) -> Parsed<()> {
        match rest.first() {
            Some(Token::Word(word)) if word == "while" || word == "until" => {
                let loops_while = word == "while";
                *rest = &rest[1..];
                let start = self.ops.len();
                self.list(rest, &["do"])?;
                let leave = self.placeholder();
                self.keyword(rest, "do")?;
                self.list(rest, &["done"])?;
                self.keyword(rest, "done")?;
                self.ops.push(Op::Jump(start));
                self.patch(leave, Op::JumpIf(!loops_while, self.ops.len()));
                self.ops.push(Op::Status(0));
                Ok(())
            }
            Some(Token::Word(word)) if word == "if" => {
                *rest = &rest[1..];
                self.list(rest, &["then"])?;
                self.keyword(rest, "then")?;
                let to_else = self.placeholder();
                self.list(rest, &["else", "fi"])?;
                let to_end = self.placeholder();
                self.patch(to_else, Op::JumpIf(false, self.ops.len()));
                if self.keyword(rest, "else").is_ok() {
                    self.list(rest, &["fi"])?;
                } else {
                    self.ops.push(Op::Status(0));
                }
                self.keyword(rest, "fi")?;
                self.patch(to_end, Op::Jump(self.ops.len()));
                Ok(())
            }
            Some(Token::Word(word)) if word == "!" => {
                *rest = &rest[1..];
                self.one(rest)?;
                self.ops.push(Op::Negate);
                Ok(())
            }
            _ => {
                let (mut words, mut redirects) = (Vec::new(), Vec::new());
                while let Some(token) = rest.first() {
                    match token {
                        Token::Word(word) => words.push(word.clone()),
                        Token::Redirect(redirect) => redirects.push(redirect.clone()),
                        _ => break,
                    }
                    *rest = &rest[1..];
                }
                let background = rest.first() == Some(&Token::Background);
                let before = self.ops.len();
                self.command(&words, &redirects)?;
                if background {
                    // The shell itself only waits, so a trap is heard at once.
                    for op in &mut self.ops[before..] {
                        if let Op::Sleep { interruptible, .. } = op {
                            *interruptible = true;
                        }
                    }
                }
                Ok(())
            }
        }
    }

    fn keyword(&self, rest: &mut &[Token], word: &str) -> Parsed<()> {
        match rest.first() {
            Some(Token::Word(found)) if found == word => {
                *rest = &rest[1..];
                Ok(())
            }
            _ => Err(NotUnderstood),
        }
    }

    fn placeholder(&mut self) -> usize {
        self.ops.push(Op::Status(0));
        self.ops.len() - 1
    }

    fn patch(&mut self, at: usize, op: Op) {
        self.ops[at] = op;
    }

    /// One simple command.
    fn command(&mut self, words: &[String], redirects: &[Redirect]) -> Parsed<()> {
        let words = match words {
            [first, rest @ ..] if is_assignment(first) => {
                if rest.is_empty() {
                    self.ops.push(Op::Status(0));
                    return Ok(());
                }
                rest
            }
            words => words,
        };
        let Some((program, arguments)) = words.split_first() else {
            return Err(NotUnderstood);
        };
        let name = program.rsplit('/').next().unwrap_or(program);
        let first = arguments.first().map(String::as_str);
        match name {
            "busybox" | "exec" | "command" if !arguments.is_empty() => {
                return self.command(arguments, redirects);
            }
            "sh" | "ash" | "bash" | "dash" if first == Some("-c") => {
                let script = arguments.get(1).ok_or(NotUnderstood)?;
                return self.script(script);
            }
            "echo" => {
                let (text, newline) = match first {
                    Some("-n") => (arguments[1..].join(" "), ""),
                    _ => (arguments.join(" "), "\n"),
                };
                self.print(format!("{text}{newline}"), redirects);
            }
            "printf" => {
                let format = first.ok_or(NotUnderstood)?;
                self.print(printf(format, &arguments[1..]), redirects);
            }
            "true" | ":" | "mkdir" | "chmod" | "chown" | "date" | "sync" | "export" | "set"
            | "cd" | "umask" | "wait" => {
                for redirect in redirects {
                    if let Redirect::File { path, .. } = redirect {
                        self.ops.push(Op::Touch(path.clone()));
                    }
                }
                self.ops.push(Op::Status(0));
            }
            "false" => self.ops.push(Op::Status(1)),
            "exit" => {
                let status = match first {
                    Some(status) => Some(status.parse::<i64>().map_err(|_| NotUnderstood)? & 0xFF),
                    None => None,
                };
                self.ops.push(Op::Exit(status));
            }
            "sleep" => {
                let mut total = Some(Duration::ZERO);
                for argument in arguments {
                    total = match (total, seconds(argument)?) {
                        (Some(total), Some(more)) => Some(total + more),
                        _ => None,
                    };
                }
                self.ops.push(Op::Sleep {
                    time: total,
                    interruptible: false,
                });
                self.ops.push(Op::Status(0));
            }
            "touch" => self.for_each_path(arguments, Op::Touch),
            "rm" => self.for_each_path(arguments, Op::Remove),
            "cat" => {
                if arguments.iter().all(|argument| argument == "-") {
                    self.ops.push(Op::Cat);
                } else {
                    self.for_each_path(arguments, Op::CatFile);
                }
            }
            "test" | "[" => self.test(arguments)?,
            "nslookup" => self
                .ops
                .push(Op::Resolve(first.ok_or(NotUnderstood)?.to_owned())),
            "trap" => self.trap(arguments)?,
            _ => self.ops.push(Op::Unknown(program.clone())),
        }
        Ok(())
    }

    fn for_each_path(&mut self, arguments: &[String], op: fn(String) -> Op) {
        self.ops.push(Op::Status(0));
        for path in arguments.iter().filter(|path| !path.starts_with('-')) {
            self.ops.push(op(path.clone()));
        }
    }

    fn print(&mut self, text: String, redirects: &[Redirect]) {
        let text = text.replace(SUBSTITUTED, "");
        let op = redirects.iter().rev().find_map(|redirect| match redirect {
            Redirect::File {
                descriptor: 1,
                path,
                append,
            } => Some(Op::Write(path.clone(), text.clone(), *append)),
            Redirect::Same {
                descriptor: 1,
                as_descriptor: 2,
            } => Some(Op::Print(OutputStream::Stderr, text.clone())),
            _ => None,
        });
        self.ops
            .push(op.unwrap_or(Op::Print(OutputStream::Stdout, text)));
        self.ops.push(Op::Status(0));
    }

    fn test(&mut self, arguments: &[String]) -> Parsed<()> {
        let arguments: Vec<&str> = arguments
            .iter()
            .map(String::as_str)
            .filter(|argument| *argument != "]")
            .collect();
        if arguments.iter().any(|text| text.contains(SUBSTITUTED)) {
            self.ops.push(Op::Unknown("test".to_owned()));
            return Ok(());
        }
        let (negate, arguments) = match arguments.as_slice() {
            ["!", rest @ ..] => (true, rest),
            rest => (false, rest),
        };
        let status = |holds: bool| Op::Status(i64::from(!holds));
        self.ops.push(match arguments {
            ["-f" | "-e" | "-s" | "-d", path] => Op::Exists((*path).to_owned()),
            ["-n", text] => status(!text.is_empty()),
            ["-z", text] => status(text.is_empty()),
            [left, "=" | "==", right] => status(left == right),
            [left, "!=", right] => status(left != right),
            _ => return Err(NotUnderstood),
        });
        if negate {
            self.ops.push(Op::Negate);
        }
        Ok(())
    }

    /// `trap 'exit 7' TERM`, `trap '' TERM`.
    fn trap(&mut self, arguments: &[String]) -> Parsed<()> {
        let (action, signals) = arguments.split_first().ok_or(NotUnderstood)?;
        if signals
            .iter()
            .any(|signal| matches!(signal.as_str(), "TERM" | "SIGTERM" | "15"))
        {
            let compiled = {
                let mut inner = Compiler {
                    env: self.env,
                    ops: Vec::new(),
                };
                inner.script(action)?;
                inner.ops
            };
            let status = compiled.iter().find_map(|op| match op {
                Op::Exit(status) => Some(status.unwrap_or(0)),
                _ => None,
            });
            self.ops.push(Op::Trap(status));
        }
        self.ops.push(Op::Status(0));
        Ok(())
    }
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    })
}

/// `5`, `0.5`, `2m`, `infinity` (`None`).
fn seconds(text: &str) -> Parsed<Option<Duration>> {
    if text == "infinity" || text == "inf" {
        return Ok(None);
    }
    let (number, unit) = match text.strip_suffix(['s', 'm', 'h', 'd']) {
        Some(number) => (number, &text[number.len()..]),
        None => (text, "s"),
    };
    let factor = match unit {
        "m" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        _ => 1.0,
    };
    let number: f64 = number.parse().map_err(|_| NotUnderstood)?;
    Duration::try_from_secs_f64(number * factor)
        .map(Some)
        .map_err(|_| NotUnderstood)
}

/// `printf` with `%s`, `%d` and the usual escapes.
fn printf(format: &str, arguments: &[String]) -> String {
    let mut arguments = arguments.iter();
    let mut out = String::new();
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('n') => out.push('\n'),
                Some('r') => out.push('\r'),
                Some('t') => out.push('\t'),
                Some(other) => out.push(other),
                None => {}
            },
            '%' => match chars.next() {
                Some('s' | 'd') => out.push_str(arguments.next().map_or("", String::as_str)),
                Some(other) => out.push(other),
                None => {}
            },
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ops(words: &[&str]) -> Vec<Op> {
        let argv: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let env = BTreeMap::from([("GREETING".to_owned(), "hello".to_owned())]);
        compile(&argv, &env).ops
    }

    fn print(text: &str) -> Op {
        Op::Print(OutputStream::Stdout, text.to_owned())
    }

    #[test]
    fn a_script_prints_to_both_streams_and_ends_with_its_code() {
        assert_eq!(
            ops(&["sh", "-c", "echo \"$GREETING you\"; echo no >&2; exit 3"]),
            [
                print("hello you\n"),
                Op::Status(0),
                Op::Print(OutputStream::Stderr, "no\n".to_owned()),
                Op::Status(0),
                Op::Exit(Some(3)),
            ]
        );
    }

    #[test]
    fn a_server_after_its_preparations_is_the_last_program() {
        assert_eq!(
            ops(&["sh", "-c", "mkdir -p /srv\nexec httpd -f"]),
            [Op::Status(0), Op::Unknown("httpd".to_owned())]
        );
    }

    #[test]
    fn and_or_skip_exactly_the_next_command() {
        assert_eq!(
            ops(&["sh", "-c", "false && echo a || echo b"]),
            [
                Op::Status(1),
                Op::JumpIf(false, 4),
                print("a\n"),
                Op::Status(0),
                Op::JumpIf(true, 7),
                print("b\n"),
                Op::Status(0),
            ]
        );
    }

    #[test]
    fn a_script_that_is_not_understood_is_one_unknown_program() {
        for script in ["cat a | sort", "for i in 1 2; do echo; done", "echo 'x"] {
            let ops = ops(&["/bin/sh", "-c", script]);
            assert!(
                ops.iter().any(|op| matches!(op, Op::Unknown(_))),
                "{script}: {ops:?}"
            );
        }
    }

    #[test]
    fn a_trap_sets_the_status_that_a_signal_ends_with() {
        let trapped = ops(&["sh", "-c", "trap 'exit 7' TERM; sleep 60 & wait $!"]);
        assert_eq!(trapped.first(), Some(&Op::Trap(Some(7))));
        assert!(trapped.contains(&Op::Sleep {
            time: Some(Duration::from_secs(60)),
            interruptible: true
        }));
        assert_eq!(
            ops(&["sh", "-c", "trap '' TERM"]).first(),
            Some(&Op::Trap(None))
        );
    }

    #[test]
    fn a_test_of_what_nobody_knows_has_no_verdict() {
        let argv = ["sh", "-c", "test -n \"$(find /tmp/alive -mmin -1)\""].map(str::to_owned);
        assert!(!compile(&argv, &BTreeMap::new()).is_understood());
    }

    #[test]
    fn a_command_substitution_is_swallowed() {
        assert_eq!(
            ops(&[
                "sh",
                "-c",
                "echo \"at $(hostname -i), $(cat /x)\" > /site/index"
            ]),
            [
                Op::Write("/site/index".to_owned(), "at , \n".to_owned(), false),
                Op::Status(0)
            ]
        );
    }
}
