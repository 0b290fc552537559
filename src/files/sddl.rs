//! Who may write a file on Windows, by its security descriptor in Windows' own text form (SDDL).
//! <https://learn.microsoft.com/windows/win32/secauthz/security-descriptor-string-format>

/// Who may write what everybody obeys: the Administrators group, the Administrator account, the system itself
/// (`LocalSystem`), and Windows' installer (`TrustedInstaller`), as aliases or numbers. Rights of the owner (`OWNER RIGHTS`)
/// are those of one of them.
const ADMINISTRATORS: &[&str] = &[
    "BA",
    "S-1-5-32-544",
    "LA",
    "SY",
    "S-1-5-18",
    "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464",
    "OW",
    "S-1-3-4",
];
/// Rights with which neither content nor permissions of a file can be changed: to read and run it, its attributes and its
/// permissions, in SDDL's names.
const HARMLESS: &[&str] = &["FR", "FX", "GR", "GX", "RC", "CC", "SW", "WP", "LO"];
/// The same as bits, with `SYNCHRONIZE`, which SDDL has no name for.
/// <https://learn.microsoft.com/windows/win32/fileio/file-access-rights-constants>
const HARMLESS_BITS: u32 = 0xA012_00A9;

/// The security descriptor of an open file: its owner and who may do what.
///
/// # Errors
/// If Windows does not tell.
#[cfg(windows)]
pub(super) fn of(file: &std::fs::File) -> std::io::Result<String> {
    use windows_permissions::constants::{SeObjectType, SecurityInformation};
    use windows_permissions::wrappers::{
        ConvertSecurityDescriptorToStringSecurityDescriptor, GetSecurityInfo,
    };
    let what = SecurityInformation::Owner | SecurityInformation::Dacl;
    let descriptor = GetSecurityInfo(file, SeObjectType::SE_FILE_OBJECT, what)?;
    let text = ConvertSecurityDescriptorToStringSecurityDescriptor(&descriptor, what)?;
    Ok(text.to_string_lossy().trim_end_matches('\0').to_owned())
}

/// An error if others than administrators may write the file, or become able to. What is not understood is taken to allow it.
///
/// # Errors
/// Whom it belongs to, or who may write it: an alias of SDDL or a number (SID).
pub(super) fn check_administrators(descriptor: &str) -> Result<(), String> {
    let (owner, list) = parts(descriptor);
    if !ADMINISTRATORS.contains(&owner) {
        return Err(format!("it belongs to {}, not to Administrators", shown(owner)));
    }
    // Without a list everybody may do everything.
    let Some(list) = list.filter(|list| list.contains('(')) else {
        return Err("every user may write it".to_owned());
    };
    let entries = list.split('(').skip(1).map(|entry| entry.trim_end_matches([')', ' ']));
    match entries.filter_map(writer).next() {
        None => Ok(()),
        Some(writer) => Err(format!("{} may write it", shown(writer))),
    }
}

/// The owner, and the list of who may do what: `O:owner G:group D:flags(entry)(entry)`. Names in it have no colon.
fn parts(descriptor: &str) -> (&str, Option<&str>) {
    let owner = descriptor.strip_prefix("O:").unwrap_or_default();
    let end = ["G:", "D:", "S:"].iter().filter_map(|next| owner.find(next)).min();
    let list = descriptor.split_once("D:").map(|(_, list)| list.split("S:").next().unwrap_or_default());
    (&owner[..end.unwrap_or(owner.len())], list)
}

/// Whom an entry lets write who is no administrator: `type;flags;rights;object;inherited object;who`.
fn writer(entry: &str) -> Option<&str> {
    let fields: Vec<&str> = entry.split(';').collect();
    let [kind, flags, rights, _, _, who] = fields[..] else { return Some(entry) };
    // One that denies takes rights away; one that is for what will be in a folder (`IO`) gives none here.
    let gives_nothing = kind == "D" || pairs(flags).any(|flag| flag == "IO");
    let is_harmless = match rights.strip_prefix("0x") {
        Some(bits) => u32::from_str_radix(bits, 16).is_ok_and(|bits| bits & !HARMLESS_BITS == 0),
        None => pairs(rights).all(|right| HARMLESS.contains(&right)),
    };
    (!gives_nothing && !is_harmless && !ADMINISTRATORS.contains(&who)).then_some(who)
}

/// Names of two letters, one after the other. What is not made of them is one name, which nothing is called.
fn pairs(names: &str) -> impl Iterator<Item = &str> {
    let length = if names.is_ascii() && names.len().is_multiple_of(2) { 2 } else { names.len().max(1) };
    (0..names.len()).step_by(length).map(move |start| &names[start..start + length])
}

/// Who is meant, for a person, where that is well known.
/// <https://learn.microsoft.com/windows/win32/secauthz/sid-strings>
fn shown(who: &str) -> &str {
    match who {
        "" => "nobody who is known",
        "WD" => "Everyone",
        "BU" => "Users",
        "AU" => "Authenticated Users",
        "IU" => "INTERACTIVE",
        "BG" | "LG" => "a guest",
        who => who,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn administrators_alone_are_believed_and_all_others_are_named() {
        for (descriptor, expected) in [
            // As an administrator's new file in %ProgramData% is.
            ("O:BAD:AI(A;ID;FA;;;SY)(A;ID;FA;;;BA)(A;ID;0x1200a9;;;BU)", Ok(())),
            ("O:SYG:SYD:PAI(A;;FA;;;SY)(A;;FA;;;BA)(A;;FRFX;;;WD)(A;OICIIO;GA;;;CO)", Ok(())),
            ("O:BAD:(D;;FA;;;BU)(A;;FA;;;BA)(A;;CCSWWPLORC;;;AU)", Ok(())),
            ("O:BAD:P(A;;FA;;;S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464)", Ok(())),
            // As another user's new file there is.
            (
                "O:S-1-5-21-1-2-3-1001D:AI(A;ID;FA;;;SY)(A;ID;FA;;;BA)(A;ID;FA;;;S-1-5-21-1-2-3-1001)",
                Err("it belongs to S-1-5-21-1-2-3-1001, not to Administrators"),
            ),
            ("D:(A;;FA;;;BA)", Err("it belongs to nobody who is known, not to Administrators")),
            ("", Err("it belongs to nobody who is known, not to Administrators")),
            ("O:BA", Err("every user may write it")),
            ("O:BAD:NO_ACCESS_CONTROL", Err("every user may write it")),
            ("O:BAD:(A;;FA;;;BA)(A;;0x1301bf;;;AU)", Err("Authenticated Users may write it")),
            ("O:BAD:(A;;FA;;;WD)", Err("Everyone may write it")),
            ("O:BAD:(A;;FRDC;;;BU)", Err("Users may write it")),
            ("O:BAD:(A;;WD;;;BU)", Err("Users may write it")),
            ("O:BAD:(A;;SD;;;S-1-5-21-1-2-3-1001)", Err("S-1-5-21-1-2-3-1001 may write it")),
            ("O:BAD:(A;;0x40000000;;;BU)", Err("Users may write it")),
            ("O:BAD:(A;;0x100;;;BU)", Err("Users may write it")),
            ("O:BAD:(A;;0xzz;;;BU)", Err("Users may write it")),
            ("O:BAD:(A;;123;;;BU)", Err("Users may write it")),
            ("O:BAD:(A;I;FA;;;BU)", Err("Users may write it")),
            ("O:BAD:(XA;;FA;;;BU;(@User.x==1))", Err("XA;;FA;;;BU; may write it")),
            ("O:BAD:(OA;;FA;;;BU)", Err("Users may write it")),
        ] {
            let checked = check_administrators(descriptor);
            assert_eq!(
                checked.as_ref().map_err(String::as_str),
                expected.as_ref().map_err(|it| *it),
                "{descriptor}"
            );
        }
    }

    #[cfg(windows)]
    #[test]
    fn windows_tells_who_may_write() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "").unwrap();
        let check = || check_administrators(&of(&std::fs::File::open(&path).unwrap()).unwrap());
        let icacls = |arguments: &[&str]| {
            let status = std::process::Command::new("icacls").arg(&path).args(arguments).status();
            assert!(status.unwrap().success());
        };
        icacls(&["/setowner", "*S-1-5-32-544"]);
        icacls(&["/inheritance:r", "/grant:r", "*S-1-5-32-544:F", "*S-1-1-0:RX"]);
        assert_eq!(check(), Ok(()));
        icacls(&["/grant:r", "*S-1-1-0:M"]);
        assert_eq!(check(), Err("Everyone may write it".to_owned()));
    }
}
