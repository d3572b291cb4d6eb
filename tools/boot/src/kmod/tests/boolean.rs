use crate::kmod::Bool;

#[test]
fn values_are_what_the_kernel_takes_them_for() {
    for on in ["1", "y", "Y", "yes", "on", "ON", "oN", "true", "T", "10"] {
        assert_eq!(Bool::parse(on.as_bytes()), Bool::On, "{on}");
    }
    for off in [
        "0", "n", "N", "no", "No", "NO", "off", "OFF", "OF", "false", "FALSE", "N\r", "0x1",
    ] {
        assert_eq!(Bool::parse(off.as_bytes()), Bool::Off, "{off}");
    }
    for invalid in [
        "", "2", "o", "oops", "-1", " N", "\r", "disable", "\"N\"", "='N'",
    ] {
        assert_eq!(Bool::parse(invalid.as_bytes()), Bool::Invalid, "{invalid}");
    }
}
