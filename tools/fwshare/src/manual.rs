//! The manual page of the configuration, fwshare.toml(5).

use clap::{Arg, Command};
use clap_mangen::roff::{Roff, bold, italic, roman};

use crate::config::{EXAMPLE, PATH};

/// The keys that name a disk and its exports. All others are options of `fwshare login`.
const OWN: [(&str, &str, &str); 4] = [
    (
        "guid",
        "\"DIGITS\"",
        "The GUID of the disk's device: all 16 digits, as fwshare scan shows them. Required.",
    ),
    (
        "lun",
        "NUMBER",
        "The logical unit, 0 to 65535. Without it, it is the device's only disk.",
    ),
    (
        "name",
        "\"NAME\"",
        "What the disk is called: for fwshare login --config NAME, and for the unit \
         fwshare@NAME.service. Up to 64 letters, digits, \"_\", \".\" and \"-\". Without it the \
         disk is called GUID or GUID:LUN.",
    ),
    (
        "export",
        "[\"EXPORT\", ...]",
        "Where the disk is served: each as behind --export of fwshare-login(1).",
    ),
];

/// The options, in the order of the page, and what stands behind the equals sign.
const OPTIONS: [(&str, &str); 8] = [
    ("shared", "true|false"),
    ("exclusive", "true|false"),
    ("read-only", "true|false"),
    ("serialize-io", "\"on\"|\"off\""),
    ("replacement-timeout", "SECONDS"),
    ("unbind-kernel", "true|false"),
    ("wait", "true|false|SECONDS"),
    ("assemble", "true|false"),
];

/// The page. What an option means is what `login` says of it.
pub(crate) fn page(login: &Command) -> String {
    let mut roff = Roff::new();
    let version = format!("fwshare {}", env!("CARGO_PKG_VERSION"));
    roff.control("TH", ["fwshare.toml", "5", "", &version, "fwshare"]);
    roff.control("ad", ["l"]);
    roff.control("SH", ["NAME"]);
    roff.text([roman("fwshare.toml - disks that this host shares")]);
    roff.control("SH", ["SYNOPSIS"]);
    roff.text([roman(PATH)]);
    roff.control("SH", ["DESCRIPTION"]);
    roff.text([roman(
        "The disks of fwshare login --config and of fwshare@NAME.service, in TOML. Each disk is a \
         table [[disk]]. What all have in common may stand in [defaults]; a disk that says \
         something else has its way. A key that nobody knows, and a value that makes no sense, \
         are refused with file, line and column, and nothing is done.",
    )]);
    roff.control("SH", ["A DISK"]);
    for (key, value, meaning) in OWN {
        entry(&mut roff, key, value, &[meaning.to_owned()]);
    }
    roff.control("SH", ["A DISK AND [defaults]"]);
    roff.text([roman(
        "These are the options of fwshare-login(1). Whether a disk is shared or exclusive has to \
         be said.",
    )]);
    for (key, value) in OPTIONS {
        let argument = login
            .get_arguments()
            .find(|argument| argument.get_long() == Some(key));
        let meaning = argument.map(meaning).unwrap_or_default();
        entry(&mut roff, key, value, &meaning);
    }
    roff.control("SH", ["EXAMPLE"]);
    roff.control("nf", []);
    roff.text([roman(EXAMPLE)]);
    roff.control("fi", []);
    roff.control("SH", ["SEE ALSO"]);
    roff.text([roman("fwshare(1), fwshare-login(1), systemd.mount(5)")]);
    roff.render()
}

/// What the command line says of an option, in paragraphs.
fn meaning(argument: &Arg) -> Vec<String> {
    let text = argument.get_long_help().or_else(|| argument.get_help());
    let text = text.map(ToString::to_string).unwrap_or_default();
    text.split("\n\n").map(str::to_owned).collect()
}

fn entry(roff: &mut Roff, key: &str, value: &str, meaning: &[String]) {
    roff.control("TP", []);
    roff.text([bold(key), roman(" = "), italic(value)]);
    for (index, paragraph) in meaning.iter().enumerate() {
        if index > 0 {
            roff.control("IP", []);
        }
        roff.text([roman(paragraph.as_str())]);
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn every_option_of_the_page_is_one_of_login_and_is_explained() {
        let mut cli = Cli::command();
        cli.build();
        let login = cli.find_subcommand("login").unwrap();
        for (key, _) in OPTIONS {
            let found = login
                .get_arguments()
                .find(|one| one.get_long() == Some(key));
            let text = found.map(meaning).unwrap_or_default().concat();
            assert!(text.len() > 10, "{key}: {text}");
        }
        let page = page(login);
        assert!(page.contains(".SH EXAMPLE"), "{page}");
        assert!(page.contains("[[disk]]"), "{page}");
    }
}
