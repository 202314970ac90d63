//! Against what the `age` program wrote.

use super::*;

/// Keys that `age-keygen` made for these tests; nothing else is encrypted to them.
const FIRST: &str = "AGE-SECRET-KEY-15TNAE33HTFN4JVVZ8HLRP6TGPV7LFEUXK0TAD3AED24PK0VKH3WQRTJ0UX";
const SECOND: &str = "AGE-SECRET-KEY-1P258N5QMNEYAEJJP8E94GXTVHGLNAF4FUFPSNTKDZWSFDMV4FPKQMJ9JCY";

/// `correct horse` and a line break, to the first.
const TO_FIRST: &str = "YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IFgyNTUxOSBVa2Z2VEhhNjVrU1RkK3A4MVhodFlHZkpLcFAxNE9Cb2xhalVsdG9qYmhVCmUrRnVDRy9uMVp2ZXI2eVhiVUJ1NC9RN05UamErR3VtNFdUQU52Z0xJK3cKLS0tIEV3QitTUndOcDByWGVKR0hyKys5bTROQlpxanEyeXFUQ0ZKdjluU25ZaTQKRv/KA1sK88++pJTKMqHyst+EDz11AtDZUJynYAIUeON073hWSEpCgxTjA08IKA==";
/// Nothing, to the first.
const EMPTY: &str = "YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IFgyNTUxOSBSamg5QVlPR3NnMC8ySi9HeTVISFlJajBQc2tndHIwOWhqYmNoT1ZVaFZvCnJrNUdqMlV0MkU2TjErY3Q5blFwR0Q2QWw1MkpHSWJwL2NwSUlxekRxUDQKLS0tIG1zb0JldWp5R2dldEExdlc1UWhOK0Z0MmFSdTdEaUtmTE9IOWVzNEFLWjgKZNV27drVu5WFh1FAA3qZk41QgblztskwXwTHUYDyJaw=";
/// `to both`, to the second and the first.
const TO_BOTH: &str = "-----BEGIN AGE ENCRYPTED FILE-----
YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IFgyNTUxOSBqWi9XOGVnMGUxWUZMcW5p
dEFkT3VkTVU5R045a2QzZUo2bEhQNEloYXhvCjRDS2RYcXQ3b2ZGdjIxaTVUei9n
czg1ZTVSWS9tdDFHb2xzUVdjbC9KdTQKLT4gWDI1NTE5IGw1amlSMkdjQ3ZqQ2Zr
ODJpa2V1eHJFMVhmZjRLU2ViZUc3bFBwTDd3MncKL1dwWENzbS90d1JJRHp2NXVY
UWZNcXpiNTlGRDVNZ0JwbkNhRWFHMHl5UQotLS0gMXRCV2txWFJ6QW13TmU3eG9H
QjJiS0QxY1pvNEFiUnN2bTlyTDNaK3gyawrkSu4O+EeZtvmw3EPNqNCmcES9vk0c
CmdSWEFkqU7IPYfTtbgHZso=
-----END AGE ENCRYPTED FILE-----
";

fn binary(base64: &str) -> Vec<u8> {
    STANDARD.decode(base64).unwrap()
}

fn keys(lines: &[&str]) -> Vec<Identity> {
    identities(&lines.join("\n")).unwrap()
}

#[test]
fn what_age_encrypted_is_read_by_the_identity_it_was_encrypted_to() {
    let first = keys(&["# created: today", "", FIRST]);
    assert_eq!(
        decrypt(&binary(TO_FIRST), &first).unwrap(),
        b"correct horse\n"
    );
    assert_eq!(decrypt(&binary(EMPTY), &first).unwrap(), b"");
    for identity in [FIRST, SECOND] {
        let content = decrypt(TO_BOTH.as_bytes(), &keys(&[identity]));
        assert_eq!(content.unwrap(), b"to both", "armored, of two recipients");
    }
    let both = keys(&[SECOND, FIRST]);
    assert_eq!(
        decrypt(&binary(TO_FIRST), &both).unwrap(),
        b"correct horse\n"
    );
    let other = decrypt(&binary(TO_FIRST), &keys(&[SECOND]));
    assert_eq!(other, Err(AgeError::NoIdentity));
}

#[test]
fn a_change_of_any_byte_is_noticed() {
    let file = binary(TO_FIRST);
    let first = keys(&[FIRST]);
    for at in 0..file.len() {
        let mut changed = file.clone();
        changed[at] ^= 1;
        assert!(decrypt(&changed, &first).is_err(), "byte {at}");
    }
    for length in 0..file.len() {
        assert!(decrypt(&file[..length], &first).is_err(), "{length} bytes");
    }
    let longer = [file.as_slice(), &[0; 70_000]].concat();
    assert_eq!(decrypt(&longer, &first), Err(AgeError::TooLarge));
    let longer = [file.as_slice(), &[0]].concat();
    assert_eq!(decrypt(&longer, &first), Err(AgeError::Changed));
}

#[test]
fn what_is_no_file_of_age_or_for_another_kind_of_key_is_said_to_be_so() {
    let first = keys(&[FIRST]);
    for text in [
        "",
        "plain",
        "age-encryption.org/v1",
        "age-encryption.org/v2\n",
        "age-encryption.org/v1\nX25519\n",
        "age-encryption.org/v1\n-> X25519 AAAA\nAAAA\n--- AAAA\n",
        "-----BEGIN AGE ENCRYPTED FILE-----\n%%\n-----END AGE ENCRYPTED FILE-----\n",
        "-----BEGIN AGE ENCRYPTED FILE-----",
    ] {
        assert_eq!(
            decrypt(text.as_bytes(), &first),
            Err(AgeError::Format),
            "{text}"
        );
    }
    let passphrase = "age-encryption.org/v1\n-> scrypt AAAA 18\nAAAA\n--- AAAA\n";
    assert_eq!(
        decrypt(passphrase.as_bytes(), &first),
        Err(AgeError::NoRecipient)
    );
}

#[test]
fn an_identity_file_that_cannot_be_read_names_its_line() {
    let line = |text: &str| identities(text).err();
    assert_eq!(line(&format!("# one\n{FIRST}\n\n{SECOND}\n")), None);
    assert_eq!(
        line(&FIRST.to_ascii_lowercase()),
        None,
        "either case, as bech32 has it"
    );
    assert_eq!(line("# none\n"), Some(0));
    assert_eq!(
        line(&format!(
            "{FIRST}\nage1wwljdzt0kxtx82vxq9smc362t795nt4tnefd079h9m54ezw69u2sd85zae"
        )),
        Some(2)
    );
    let typo = FIRST.replace("15TNA", "15TNB");
    assert_eq!(line(&typo), Some(1));
    assert_eq!(line("AGE-PLUGIN-YUBIKEY-1QQQQ"), Some(1));
}
