//! The pause image, which Longshore makes itself: no registry, no build, any engine, a few hundred bytes.
//!
//! It holds two programs, written out here as machine code:
//!
//! - `/pause` owns a task's namespaces and does nothing until it is told to end.
//! - `/lease` reads its standard input to the end, then ends: it lives as long as somebody holds that input open.
//!
//! Both are process 1 of their container, for which the kernel drops every signal that has its default action; `docker
//! stop` would then wait its whole time out before it kills. A *blocked* signal is kept, so `/pause` blocks SIGHUP, SIGINT,
//! SIGQUIT and SIGTERM, waits for one of them and exits 0 (a stop then takes as long as that of any other container). It
//! also ignores SIGCHLD, so the kernel itself clears away what a shared PID namespace leaves to process 1. `/lease` is only
//! ever ended by its input or removed by force.
//!
//! The image's tag has a version and the architecture: an engine of another Longshore never runs the wrong program.

use std::io;

use bytes::Bytes;

use super::{Engine, EngineError, EngineResult, ErrorKind};

/// Version of the image's contents. Raise it when they change.
const VERSION: u32 = 1;
/// The image's name without its tag.
pub const REPOSITORY: &str = "longshore/pause";
/// Runs the program that holds namespaces; the image's entry point.
pub const PAUSE: &str = "/pause";
/// Runs the program that lives as long as its standard input.
pub const LEASE: &str = "/lease";

/// Makes sure that the engine has the image, and returns its reference. Asks before it makes it; doing it twice at once is
/// harmless.
///
/// # Errors
/// `Unsupported` where the engine runs on an architecture that there is no program for, and the engine's own errors.
pub async fn ensure(engine: &dyn Engine) -> EngineResult<String> {
    let info = engine.info().await?;
    ensure_for(engine, &info.architecture).await
}

/// [`ensure`] for an engine whose architecture (`amd64`, `arm64`) is known already.
///
/// # Errors
/// As [`ensure`].
pub async fn ensure_for(engine: &dyn Engine, architecture: &str) -> EngineResult<String> {
    let reference = image_reference(architecture);
    let unsupported = |why: String| {
        EngineError::new(
            "make the pause image for",
            architecture,
            ErrorKind::Unsupported,
            why,
        )
    };
    let rootfs = rootfs(architecture).ok_or_else(|| {
        unsupported("Longshore has a pause program for amd64 and arm64 only".to_owned())
    })?;
    let is_ours = engine
        .image(&reference)
        .await?
        .is_some_and(|image| image.entrypoint == [PAUSE]);
    if !is_ours {
        let changes = [format!("ENTRYPOINT [\"{PAUSE}\"]")];
        engine.import_image(&reference, rootfs, &changes).await?;
    }
    Ok(reference)
}

/// The image's name on an engine of that architecture: `longshore/pause:1-amd64`.
pub fn image_reference(architecture: &str) -> String {
    format!("{REPOSITORY}:{VERSION}-{architecture}")
}

/// The image's file system as a tar, the same bytes every time; `None` for an architecture without programs.
pub fn rootfs(architecture: &str) -> Option<Bytes> {
    let programs = match architecture {
        "amd64" => [(PAUSE, amd64::pause()), (LEASE, amd64::lease())],
        "arm64" => [(PAUSE, arm64::pause()), (LEASE, arm64::lease())],
        _ => return None,
    };
    archive(&programs).ok().map(Bytes::from)
}

fn archive(programs: &[(&str, Vec<u8>)]) -> io::Result<Vec<u8>> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, program) in programs {
        let mut header = tar::Header::new_ustar();
        header.set_mode(0o755);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(program.len() as u64);
        builder.append_data(&mut header, path.trim_start_matches('/'), &program[..])?;
    }
    builder.into_inner()
}

/// Where programs are loaded.
const BASE: u32 = 0x40_0000;
/// Size of the file's header and of its only program header, after which the code starts.
const HEADERS: u32 = 64 + 56;

/// HUP, INT, QUIT and TERM, as the kernel's set of signals.
const SIGNALS: u64 = 1 | 1 << 1 | 1 << 2 | 1 << 14;
/// A `struct sigaction` of the kernel's that ignores a signal.
const IGNORE: [u64; 4] = [1, 0, 0, 0];

/// An executable of one segment, readable and executable, whose entry is its first byte of code.
fn executable(machine: u16, code: &[u8]) -> Vec<u8> {
    let size = u64::from(HEADERS) + code.len() as u64;
    let base = u64::from(BASE);
    let mut file = Vec::with_capacity(size as usize);
    // 64 bits, little-endian, version 1, System V.
    file.extend(*b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    file.extend(2_u16.to_le_bytes());
    file.extend(machine.to_le_bytes());
    file.extend(1_u32.to_le_bytes());
    file.extend((base + u64::from(HEADERS)).to_le_bytes());
    // The program header follows this one; there are no sections.
    file.extend(64_u64.to_le_bytes());
    file.extend(0_u64.to_le_bytes());
    file.extend(0_u32.to_le_bytes());
    for half in [64_u16, 56, 1, 0, 0, 0] {
        file.extend(half.to_le_bytes());
    }
    // Load the whole file at `BASE`, to be read and run.
    file.extend(1_u32.to_le_bytes());
    file.extend(5_u32.to_le_bytes());
    for long in [0, base, base, size, size, 0x1_0000] {
        file.extend(u64::to_le_bytes(long));
    }
    file.extend(code);
    file
}

/// The set of signals and the action, one after the other.
fn data() -> Vec<u8> {
    std::iter::once(SIGNALS)
        .chain(IGNORE)
        .flat_map(u64::to_le_bytes)
        .collect()
}

mod amd64 {
    use super::{BASE, HEADERS, data, executable};

    const MACHINE: u16 = 62;
    const SYSCALL: [u8; 2] = [0x0f, 0x05];

    /// `mov eax, number`, which clears the upper half of rax.
    fn number(number: u32) -> Vec<u8> {
        [&[0xb8][..], &number.to_le_bytes()].concat()
    }

    pub(super) fn pause() -> Vec<u8> {
        const CODE: u32 = 72;
        let signals = (BASE + HEADERS + CODE).to_le_bytes();
        let action = (BASE + HEADERS + CODE + 8).to_le_bytes();
        let mut code = Vec::new();
        // rt_sigaction(SIGCHLD, &action, NULL, 8)
        code.extend(number(13));
        code.extend([0xbf, 17, 0, 0, 0]); // mov edi, 17
        code.extend([&[0xbe][..], &action].concat()); // mov esi, action
        code.extend([0x31, 0xd2]); // xor edx, edx
        code.extend([0x41, 0xba, 8, 0, 0, 0]); // mov r10d, 8, which system calls leave alone
        code.extend(SYSCALL);
        // rt_sigprocmask(SIG_BLOCK, &signals, NULL, 8)
        code.extend(number(14));
        code.extend([0x31, 0xff]); // xor edi, edi
        code.extend([&[0xbe][..], &signals].concat()); // mov esi, signals
        code.extend([0x31, 0xd2]);
        code.extend(SYSCALL);
        // rt_sigtimedwait(&signals, NULL, NULL, 8), until it returns a signal
        let wait = code.len();
        code.extend(number(128));
        code.extend([&[0xbf][..], &signals].concat()); // mov edi, signals
        code.extend([0x31, 0xf6, 0x31, 0xd2]); // xor esi, esi; xor edx, edx
        code.extend(SYSCALL);
        code.extend([0x85, 0xc0]); // test eax, eax
        let back = (wait as i64 - (code.len() as i64 + 2)) as i8;
        code.extend([0x7e, back.to_le_bytes()[0]]); // jle wait
        // exit_group(0)
        code.extend(number(231));
        code.extend([0x31, 0xff]);
        code.extend(SYSCALL);
        // What cannot be reached only keeps the data aligned.
        code.resize(CODE as usize, 0xcc);
        code.extend(data());
        executable(MACHINE, &code)
    }

    pub(super) fn lease() -> Vec<u8> {
        let mut code = Vec::new();
        code.extend([0x48, 0x81, 0xec, 0, 0x10, 0, 0]); // sub rsp, 4096
        // read(0, rsp, 4096), until it returns nothing
        let read = code.len();
        code.extend([0x31, 0xc0, 0x31, 0xff]); // xor eax, eax; xor edi, edi
        code.extend([0x48, 0x89, 0xe6]); // mov rsi, rsp
        code.extend([0xba, 0, 0x10, 0, 0]); // mov edx, 4096
        code.extend(SYSCALL);
        code.extend([0x85, 0xc0]); // test eax, eax
        let back = (read as i64 - (code.len() as i64 + 2)) as i8;
        code.extend([0x7f, back.to_le_bytes()[0]]); // jg read
        // exit_group(0)
        code.extend(number(231));
        code.extend([0x31, 0xff]);
        code.extend(SYSCALL);
        executable(MACHINE, &code)
    }
}

mod arm64 {
    use super::{BASE, HEADERS, data, executable};

    const MACHINE: u16 = 183;
    const SVC: u32 = 0xd400_0001;
    /// `cmp x0, #0`
    const COMPARE: u32 = 0xf100_001f;

    /// `movz x<register>, #value, lsl #<16 × half>`
    const fn movz(register: u32, value: u32, half: u32) -> u32 {
        0xd280_0000 | half << 21 | value << 5 | register
    }

    /// `movk`, likewise: keeps the other bits.
    const fn movk(register: u32, value: u32, half: u32) -> u32 {
        0xf280_0000 | half << 21 | value << 5 | register
    }

    /// Loads an address below 4 GiB.
    const fn address(register: u32, to: u32) -> [u32; 2] {
        [movz(register, to & 0xffff, 0), movk(register, to >> 16, 1)]
    }

    /// `b.<condition>` over that many instructions.
    const fn branch(condition: u32, instructions: i32) -> u32 {
        0x5400_0000 | ((instructions as u32) & 0x7_ffff) << 5 | condition
    }
    const LESS_OR_EQUAL: u32 = 0b1101;
    const GREATER: u32 = 0b1100;

    fn assemble(code: &[u32], data: &[u8]) -> Vec<u8> {
        let mut bytes: Vec<u8> = code.iter().flat_map(|word| word.to_le_bytes()).collect();
        bytes.extend(data);
        executable(MACHINE, &bytes)
    }

    pub(super) fn pause() -> Vec<u8> {
        const CODE: u32 = 28 * 4;
        let signals = BASE + HEADERS + CODE;
        let [action_low, action_high] = address(1, signals + 8);
        let [mask_low, mask_high] = address(1, signals);
        let [wait_low, wait_high] = address(0, signals);
        let code = [
            // rt_sigaction(SIGCHLD, &action, NULL, 8)
            movz(8, 134, 0),
            movz(0, 17, 0),
            action_low,
            action_high,
            movz(2, 0, 0),
            movz(3, 8, 0),
            SVC,
            // rt_sigprocmask(SIG_BLOCK, &signals, NULL, 8)
            movz(8, 135, 0),
            movz(0, 0, 0),
            mask_low,
            mask_high,
            movz(2, 0, 0),
            movz(3, 8, 0),
            SVC,
            // rt_sigtimedwait(&signals, NULL, NULL, 8), until it returns a signal
            movz(8, 137, 0),
            wait_low,
            wait_high,
            movz(1, 0, 0),
            movz(2, 0, 0),
            movz(3, 8, 0),
            SVC,
            COMPARE,
            branch(LESS_OR_EQUAL, -8),
            // exit_group(0)
            movz(8, 94, 0),
            movz(0, 0, 0),
            SVC,
            // Never reached; aligns the data.
            0,
            0,
        ];
        assemble(&code, &data())
    }

    pub(super) fn lease() -> Vec<u8> {
        let code = [
            // sub sp, sp, #4096
            0xd140_07ff,
            // read(0, sp, 4096), until it returns nothing
            movz(8, 63, 0),
            movz(0, 0, 0),
            // mov x1, sp
            0x9100_03e1,
            movz(2, 4096, 0),
            SVC,
            COMPARE,
            branch(GREATER, -6),
            // exit_group(0)
            movz(8, 94, 0),
            movz(0, 0, 0),
            SVC,
        ];
        assemble(&code, &[])
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Read as _;

    use super::*;

    fn files(architecture: &str) -> BTreeMap<String, Vec<u8>> {
        let rootfs = rootfs(architecture).unwrap();
        let mut archive = tar::Archive::new(&rootfs[..]);
        let entries = archive.entries().unwrap();
        entries
            .map(|entry| {
                let mut entry = entry.unwrap();
                assert_eq!(entry.header().mode().unwrap(), 0o755);
                assert_eq!(entry.header().mtime().unwrap(), 0);
                let path = entry.path().unwrap().display().to_string();
                let mut bytes = Vec::new();
                entry.read_to_end(&mut bytes).unwrap();
                (path, bytes)
            })
            .collect()
    }

    #[test]
    fn the_image_holds_two_small_executables_for_each_architecture() {
        for (architecture, machine) in [("amd64", 62_u8), ("arm64", 183)] {
            let files = files(architecture);
            assert_eq!(files.keys().collect::<Vec<_>>(), ["lease", "pause"]);
            for (name, program) in files {
                assert_eq!(&program[..4], b"\x7fELF", "{name}");
                assert_eq!(program[18], machine, "{name}");
                assert!(program.len() < 400, "{name}: {} bytes", program.len());
            }
        }
        assert_eq!(rootfs("s390x"), None);
    }

    #[test]
    fn the_data_of_pause_stands_where_its_code_looks_for_it() {
        for (architecture, at) in [("amd64", 120 + 72), ("arm64", 120 + 28 * 4)] {
            let program = &files(architecture)["pause"];
            assert_eq!(program[at..], data()[..], "{architecture}");
        }
    }

    #[test]
    fn the_image_is_the_same_every_time() {
        assert_eq!(rootfs("amd64"), rootfs("amd64"));
        assert_eq!(image_reference("arm64"), "longshore/pause:1-arm64");
    }

    /// Runs the programs of this machine as what they are.
    #[cfg(all(
        target_os = "linux",
        any(target_arch = "x86_64", target_arch = "aarch64")
    ))]
    mod run {
        use std::io::Write as _;
        use std::os::unix::fs::OpenOptionsExt as _;
        use std::process::{Child, Command, Stdio};

        use super::*;

        fn spawn(name: &str) -> (tempfile::TempDir, Child) {
            let architecture = if cfg!(target_arch = "x86_64") {
                "amd64"
            } else {
                "arm64"
            };
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join(name);
            let mut file = std::fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o755)
                .open(&path)
                .unwrap();
            file.write_all(&files(architecture)[name]).unwrap();
            drop(file);
            // Another test's fork may still hold the file open for writing for an instant.
            let child = loop {
                match Command::new(&path).stdin(Stdio::piped()).spawn() {
                    Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => {}
                    spawned => break spawned.unwrap(),
                }
            };
            (directory, child)
        }

        /// Whether it has set itself up and sleeps. (While it waits for the blocked signals the kernel shows them as not blocked.)
        fn is_waiting(child: &Child) -> bool {
            let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
            let field = |name: &str| {
                let line = status.lines().find(|line| line.starts_with(name)).unwrap();
                line[name.len()..].trim().to_owned()
            };
            let ignored = u64::from_str_radix(&field("SigIgn:"), 16).unwrap();
            field("State:").starts_with('S') && ignored & 1 << 16 != 0
        }

        #[test]
        fn pause_waits_and_exits_zero_when_it_is_told_to_end() {
            for signal in [rustix::process::Signal::TERM, rustix::process::Signal::INT] {
                let (_directory, mut child) = spawn("pause");
                while !is_waiting(&child) {
                    assert_eq!(child.try_wait().unwrap(), None, "it ended by itself");
                    std::thread::yield_now();
                }
                let pid = rustix::process::Pid::from_child(&child);
                rustix::process::kill_process(pid, signal).unwrap();
                assert_eq!(child.wait().unwrap().code(), Some(0));
            }
        }

        #[test]
        fn lease_lives_as_long_as_its_input() {
            let (_directory, mut child) = spawn("lease");
            let mut input = child.stdin.take().unwrap();
            input.write_all(&vec![b'x'; 100_000]).unwrap();
            assert_eq!(child.try_wait().unwrap(), None);
            drop(input);
            assert_eq!(child.wait().unwrap().code(), Some(0));
        }
    }
}
