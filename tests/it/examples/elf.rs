//! Two tiny programs, assembled by hand: they print a text and exit with 0.

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
use std::{fs, io, os::unix::fs::PermissionsExt as _, process};

/// What the programs in `hello.tar` say.
pub(super) const GREETING: &str = "Hello from Package Origin!\n";

const HEADER: u16 = 64;
const PROGRAM_HEADER: u16 = 56;
/// Where the file is mapped.
const BASE: u64 = 0x40_0000;
/// The largest page of the supported machines (arm64), so that each kernel maps it.
const PAGE: u64 = 0x1_0000;

/// A static program for Linux on amd64.
pub(super) fn amd64(text: &str) -> Vec<u8> {
    let length = u32::try_from(text.len()).expect("a short text");
    let code = [
        &[0xb8, 1, 0, 0, 0][..],          // mov eax, 1 (write)
        &[0xbf, 1, 0, 0, 0],              // mov edi, 1 (stdout)
        &[0x48, 0x8d, 0x35, 16, 0, 0, 0], // lea rsi, [rip + 16] (the text: 16 bytes of code follow)
        &[0xba],                          // mov edx, length
        &length.to_le_bytes(),            //
        &[0x0f, 0x05],                    // syscall
        &[0xb8, 60, 0, 0, 0],             // mov eax, 60 (exit)
        &[0x31, 0xff],                    // xor edi, edi
        &[0x0f, 0x05],                    // syscall
    ];
    program(62, &code.concat(), text)
}

/// A static program for Linux on arm64.
pub(super) fn arm64(text: &str) -> Vec<u8> {
    let length = u32::try_from(text.len()).expect("a short text");
    let code = [
        0xd280_0020,               // mov x0, #1 (stdout)
        0x1000_00e1,               // adr x1, . + 28 (the text: 7 instructions further)
        0xd280_0002 | length << 5, // mov x2, #length
        0xd280_0808,               // mov x8, #64 (write)
        0xd400_0001,               // svc #0
        0xd280_0000,               // mov x0, #0
        0xd280_0ba8,               // mov x8, #93 (exit)
        0xd400_0001_u32,           // svc #0
    ];
    program(183, &code.map(u32::to_le_bytes).concat(), text)
}

/// An ELF file: header, one program header that maps all of it, code, text.
fn program(machine: u16, code: &[u8], text: &str) -> Vec<u8> {
    let start = u64::from(HEADER + PROGRAM_HEADER);
    let size = start + u64::try_from(code.len() + text.len()).expect("a length fits");
    [
        // Magic, 64 bits, little-endian, version 1, System V, padding.
        &b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0"[..],
        &2_u16.to_le_bytes(),             // e_type: executable
        &machine.to_le_bytes(),           // e_machine
        &1_u32.to_le_bytes(),             // e_version
        &(BASE + start).to_le_bytes(),    // e_entry
        &u64::from(HEADER).to_le_bytes(), // e_phoff
        &0_u64.to_le_bytes(),             // e_shoff: no sections
        &0_u32.to_le_bytes(),             // e_flags
        &HEADER.to_le_bytes(),            // e_ehsize
        &PROGRAM_HEADER.to_le_bytes(),    // e_phentsize
        &1_u16.to_le_bytes(),             // e_phnum
        &[0; 6],                          // e_shentsize, e_shnum, e_shstrndx
        &1_u32.to_le_bytes(),             // p_type: load
        &5_u32.to_le_bytes(),             // p_flags: read, execute
        &0_u64.to_le_bytes(),             // p_offset
        &BASE.to_le_bytes(),              // p_vaddr
        &BASE.to_le_bytes(),              // p_paddr
        &size.to_le_bytes(),              // p_filesz
        &size.to_le_bytes(),              // p_memsz
        &PAGE.to_le_bytes(),              // p_align
        code,
        text.as_bytes(),
    ]
    .concat()
}

/// Runs a program of this machine.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub(super) fn run(program: &[u8]) -> process::Output {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("hello");
    fs::write(&path, program).expect("a file");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("permissions");
    loop {
        match process::Command::new(&path).output() {
            // A process that another test forked meanwhile still has the file open for writing.
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => {
                std::thread::yield_now();
            }
            result => return result.expect("it starts"),
        }
    }
}
