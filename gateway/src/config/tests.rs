//! Precedence, unknown names and the rule that all errors come at once.

use std::io::Write;
use std::time::Duration;

use super::keys::{self, Key};
use super::*;

const MACHINE: Machine = Machine { memory_bytes: 16 << 30, cores: 4 };

struct Setup {
    given: Given,
    _file: Option<tempfile::NamedTempFile>,
}

impl Setup {
    fn new() -> Setup {
        Setup { given: Given::default(), _file: None }.flag(&keys::DATA, "/srv/data")
    }

    fn flag(mut self, key: &'static Key, value: &str) -> Setup {
        match self.given.flags.iter_mut().find(|(present, _)| *present == key) {
            Some((_, values)) => values.push(value.into()),
            None => self.given.flags.push((key, vec![value.into()])),
        }
        self
    }

    fn variable(mut self, name: &str, value: &str) -> Setup {
        self.given.environment.push((name.into(), value.into()));
        self
    }

    fn file(mut self, text: &str) -> Setup {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        self.given.file = Some(file.path().to_owned());
        self._file = Some(file);
        self
    }

    fn load(self) -> Result<(Raw, Plan), Vec<Finding>> {
        load(self.given, &MACHINE)
    }

    fn plan(self) -> Plan {
        self.load().unwrap().1
    }

    fn findings(self) -> Vec<String> {
        self.load().unwrap_err().iter().map(Finding::to_string).collect()
    }
}

#[test]
fn a_data_directory_is_all_it_needs() {
    let plan = Setup::new().plan();
    assert_eq!(plan.listen, ["127.0.0.1:9000".parse().unwrap()]);
    assert_eq!(plan.admin_listen, "127.0.0.1:9001".parse().unwrap());
    assert_eq!(plan.memory_bytes, 4 << 30);
    assert_eq!(plan.lanes, 4);
    assert_eq!(plan.credentials, PathBuf::from("/srv/data/credentials"));
    assert_eq!(plan.limits.connections, 13_107);
    assert_eq!(plan.limits.header_time, crate::limits::HEADER_TIME_DEFAULT);
    assert_eq!(plan.limits.idle_time, crate::limits::IDLE_TIME_DEFAULT);
    assert_eq!(plan.limits.body_window, crate::limits::BODY_WINDOW_DEFAULT);
    assert_eq!(plan.limits.body_bytes, crate::limits::BODY_BYTES_DEFAULT);
    assert_eq!(plan.limits.send_stall, crate::limits::SEND_STALL_DEFAULT);
    assert_eq!(plan.drain_deadline, crate::limits::DRAIN_DEADLINE_DEFAULT);
}

#[test]
fn a_flag_beats_the_environment_beats_the_file_beats_the_default() {
    let file = "memory = \"1GiB\"\nlanes = 3\nregion = \"from-file\"";
    let plan = Setup::new()
        .file(file)
        .variable("PENSTOCK_MEMORY", "2GiB")
        .variable("PENSTOCK_LANES", "2")
        .flag(&keys::MEMORY, "3GiB")
        .plan();
    assert_eq!((plan.memory_bytes, plan.lanes), (3 << 30, 2));
    assert_eq!(plan.region, "from-file");
    assert_eq!(plan.drain_deadline, Duration::from_secs(30));
}

#[test]
fn the_file_may_be_named_by_the_environment() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "lanes = 7").unwrap();
    let path = file.path().to_str().unwrap().to_owned();
    assert_eq!(Setup::new().variable("PENSTOCK_CONFIG", &path).plan().lanes, 7);
}

#[test]
fn lists_in_every_source() {
    let expected: Vec<_> =
        ["0.0.0.0:1", "[::]:2"].iter().map(|text| text.parse().unwrap()).collect();
    let flags = Setup::new().flag(&keys::LISTEN, "0.0.0.0:1").flag(&keys::LISTEN, "[::]:2");
    assert_eq!(flags.plan().listen, expected);
    let variable = Setup::new().variable("PENSTOCK_LISTEN", "0.0.0.0:1, [::]:2");
    assert_eq!(variable.plan().listen, expected);
    let file = Setup::new().file("listen = [\"0.0.0.0:1\", \"[::]:2\"]");
    assert_eq!(file.plan().listen, expected);
    let single = Setup::new().file("listen = \"0.0.0.0:1\"");
    assert_eq!(single.plan().listen, expected[..1]);
}

#[test]
fn tables_hold_dotted_keys() {
    let plan = Setup::new().file("[limits]\nheader_time = \"3s\"\nbody_bytes = 5000").plan();
    assert_eq!(plan.limits.header_time, Duration::from_secs(3));
    assert_eq!(plan.limits.body_bytes, 5000);
}

#[test]
fn all_errors_come_at_once_each_with_key_value_source_and_remedy() {
    let findings = Setup::new()
        .file("memory = \"12 parsecs\"\n\n[limits]\nheader_tmie = \"3s\"\nidle_time = 5")
        .variable("PENSTOCK_LANES", "many")
        .variable("PENSTOCK_LISTN", "0.0.0.0:1")
        .flag(&keys::ADMIN_LISTEN, "localhost")
        .findings();
    let expect = |parts: &[&str]| {
        let found = findings.iter().filter(|line| parts.iter().all(|part| line.contains(part)));
        assert_eq!(found.count(), 1, "{parts:?} in {findings:#?}");
    };
    expect(&["memory = \"12 parsecs\"", ":1)", "unit", "512M"]);
    expect(&["limits.header_tmie", ":4)", "no such key", "limits.header_time"]);
    expect(&["limits.idle_time = \"5\"", ":5)", "unit is missing", "30s"]);
    expect(&["lanes = \"many\"", "(PENSTOCK_LANES)", "whole number", "1 to 512"]);
    expect(&["PENSTOCK_LISTN", "(environment)", "no such setting", "PENSTOCK_LISTEN"]);
    expect(&["admin_listen = \"localhost\"", "(--admin-listen)", "127.0.0.1:9000"]);
    assert_eq!(findings.len(), 6, "{findings:#?}");
}

#[test]
fn no_data_directory_is_said_with_both_ways_to_give_it() {
    let findings = Setup { given: Given::default(), _file: None }.findings();
    assert_eq!(findings.len(), 1);
    assert!(findings[0].contains("--data") && findings[0].contains("PENSTOCK_DATA"));
}

#[test]
fn a_file_that_is_not_toml_or_not_there() {
    assert!(Setup::new().file("lanes = = 3").findings()[0].contains(":1)"));
    let mut setup = Setup::new();
    setup.given.file = Some("/nonexistent/penstock.toml".into());
    assert!(setup.findings()[0].contains("/nonexistent/penstock.toml"));
}

#[test]
fn values_of_the_wrong_kind_in_a_file() {
    let findings = Setup::new().file("lanes = [1, 2]\nmemory = { a = 1 }\nlimits = 3").findings();
    assert_eq!(findings.len(), 3, "{findings:#?}");
}

#[test]
fn the_environment_key_needs_both_halves_and_is_never_shown() {
    let half = Setup::new().variable("PENSTOCK_ACCESS_KEY", "AKIAEXAMPLE").findings();
    assert!(half[0].contains("PENSTOCK_SECRET_KEY"), "{half:?}");
    let other = Setup::new().variable("PENSTOCK_SECRET_KEY", "hush-hush-hush").findings();
    assert!(other[0].contains("PENSTOCK_ACCESS_KEY") && !other[0].contains("hush"));
    let bad = Setup::new()
        .variable("PENSTOCK_ACCESS_KEY", "AKIAEXAMPLE")
        .variable("PENSTOCK_SECRET_KEY", "hush")
        .findings();
    assert!(bad[0].contains("secret_key") && !bad[0].contains("hush"), "{bad:?}");
    let (raw, plan) = Setup::new()
        .variable("PENSTOCK_ACCESS_KEY", "AKIAEXAMPLE")
        .variable("PENSTOCK_SECRET_KEY", "hush-hush-hush")
        .load()
        .unwrap();
    for shown in [
        format!("{raw:?} {plan:?}"),
        print::as_text(&raw, &MACHINE),
        print::as_json(&raw, &MACHINE).to_string(),
    ] {
        assert!(!shown.contains("hush"), "{shown}");
    }
}

#[test]
fn variables_that_kubernetes_and_tests_make_are_passed_over() {
    let plan = Setup::new()
        .variable("PENSTOCK_SERVICE_HOST", "10.0.0.7")
        .variable("PENSTOCK_PORT_9000_TCP", "tcp://10.0.0.7:9000")
        .variable("PENSTOCK_TEST_SEED", "7")
        .plan();
    assert_eq!(plan.lanes, MACHINE.cores);
}

#[test]
fn secrets_do_not_belong_in_a_file() {
    let findings = Setup::new().file("access_key = \"AKIAEXAMPLE\"").findings();
    assert!(findings[0].contains("PENSTOCK_ACCESS_KEY"), "{findings:?}");
}

#[test]
fn keys_that_contradict_each_other() {
    let same = Setup::new()
        .flag(&keys::LISTEN, "127.0.0.1:9001")
        .flag(&keys::LISTEN, "127.0.0.1:9001")
        .flag(&keys::DEVICES, "/dev/a")
        .flag(&keys::DEVICES, "/dev/a")
        .flag(&keys::EXTENT_FILE, "1GiB")
        .findings();
    assert_eq!(same.len(), 4, "{same:#?}");
}

#[test]
fn domains_and_buckets_are_names() {
    let plan = Setup::new().flag(&keys::DOMAINS, "S3.Example.COM.").plan();
    assert_eq!(plan.domains, ["s3.example.com"]);
    for bad in ["s3.example.com:9000", "10.0.0.1", "-x.com", "a..b", ""] {
        assert!(Setup::new().flag(&keys::DOMAINS, bad).load().is_err(), "{bad}");
    }
    assert!(Setup::new().flag(&keys::PUBLIC_READ, "Not_A_Bucket").load().is_err());
}

#[test]
fn print_shows_every_key_with_value_default_and_source() {
    let (raw, _) = Setup::new().variable("PENSTOCK_MEMORY", "2GiB").load().unwrap();
    let text = print::as_text(&raw, &MACHINE);
    assert_eq!(text.lines().count(), keys::KEYS.len());
    let memory = text.lines().find(|line| line.starts_with("memory ")).unwrap();
    assert!(memory.contains("2GiB") && memory.contains("from PENSTOCK_MEMORY"), "{memory}");
    assert!(memory.contains("quarter"), "{memory}");
    let json = print::as_json(&raw, &MACHINE);
    assert_eq!(json.as_array().unwrap().len(), keys::KEYS.len());
    assert_eq!(json[4]["value"], "2GiB");
    assert_eq!(json[4]["source"], "PENSTOCK_MEMORY");
}

#[test]
fn rdma_is_used_where_it_is_and_takes_a_sixteenth_of_memory() {
    let rdma = Setup::new().plan().rdma;
    assert_eq!((rdma.mode, rdma.staging_bytes), (Preference::Auto, 256 << 20));
    assert_eq!((rdma.sessions, rdma.sessions_per_user), (1024, 64));
    assert_eq!((rdma.connections, rdma.connections_per_user), (1024, 64));
    assert_eq!((rdma.put_decline_status, rdma.allow_unsigned_connect), (200, false));
    let small = Setup::new().flag(&keys::MEMORY, "64M").plan();
    assert_eq!(small.rdma.staging_bytes, 4 << 20);
}

#[test]
fn rdma_is_configured_like_everything() {
    let file = "[rdma]\nmode = \"on\"\ndevice = \"mlx5_0\"\nport = 1\ngid_index = 3\n\
                address = \"10.0.0.1\"\npath_mtu = \"1024\"\nstaging = \"64M\"\n";
    let rdma = Setup::new()
        .file(file)
        .flag(&keys::RDMA_PUT_DECLINE_STATUS, "501")
        .variable("PENSTOCK_RDMA_ALLOW_UNSIGNED_CONNECT", "on")
        .plan()
        .rdma;
    assert_eq!((rdma.mode, rdma.device.as_deref()), (Preference::On, Some("mlx5_0")));
    assert_eq!((rdma.port, rdma.gid_index, rdma.path_mtu), (Some(1), Some(3), Some(1024)));
    assert_eq!((rdma.address, rdma.staging_bytes), ("10.0.0.1".parse().ok(), 64 << 20));
    assert_eq!((rdma.put_decline_status, rdma.allow_unsigned_connect), (501, true));
}

#[test]
fn wrong_values_of_rdma_are_named_with_their_remedy() {
    let cases: [(&'static Key, &str, &str); 13] = [
        (&keys::RDMA_MODE, "yes", "write one of auto, on, off"),
        (&keys::RDMA_DEVICE, "mlx5/0", "write one that `ibv_devices` lists"),
        (&keys::RDMA_PORT, "0", "write a number from 1 to 255"),
        (&keys::RDMA_GID_INDEX, "256", "write a number from 0 to 255"),
        (&keys::RDMA_ADDRESS, "server", "write that of the RDMA interface"),
        (&keys::RDMA_PATH_MTU, "1500", "write one of 256, 512, 1024, 2048, 4096"),
        (&keys::RDMA_STAGING, "1M", "write at least 4MiB"),
        (&keys::RDMA_STAGING, "3GiB", "write at most 2GiB, or raise memory"),
        (&keys::RDMA_STAGING_PER_USER, "512MiB", "write less, or raise rdma.staging"),
        (&keys::RDMA_SESSIONS, "0", "write a number from 1 to 65536"),
        (&keys::RDMA_SESSIONS_PER_USER, "2000", "write a smaller number"),
        (&keys::RDMA_PUT_DECLINE_STATUS, "404", "write one of 200, 501"),
        (&keys::RDMA_STRICT_PLACEMENT, "1", "write one of on, off"),
    ];
    for (key, value, remedy) in cases {
        let findings = Setup::new().flag(key, value).findings();
        let [finding] = &findings[..] else { panic!("{}: {findings:?}", key.name) };
        for part in [key.name, value, remedy] {
            assert!(finding.contains(part), "{part} in {finding}");
        }
    }
}

#[test]
fn unsigned_connections_need_loopback() {
    let open = Setup::new()
        .flag(&keys::LISTEN, "127.0.0.1:9000")
        .flag(&keys::LISTEN, "10.0.0.1:9000")
        .flag(&keys::RDMA_ALLOW_UNSIGNED_CONNECT, "on");
    let findings = open.findings();
    assert!(findings.len() == 1 && findings[0].contains("10.0.0.1:9000"), "{findings:?}");
    let closed = Setup::new().flag(&keys::RDMA_ALLOW_UNSIGNED_CONNECT, "on");
    assert!(closed.plan().rdma.allow_unsigned_connect);
}

#[test]
fn tenants_with_metrics_are_bounded() {
    let metrics = Setup::new().plan().metrics;
    assert_eq!(metrics, MetricsPlan { buckets: 50, users: 50 });
    let file = "[metrics]\nbuckets = 0\nusers = 10000\n";
    let metrics = Setup::new().file(file).plan().metrics;
    assert_eq!(metrics, MetricsPlan { buckets: 0, users: 10_000 });
    for (key, value, remedy) in [
        (&keys::METRICS_BUCKETS, "10001", "write a number from 0 to 10000"),
        (&keys::METRICS_USERS, "-1", "write a number from 0 to 10000"),
    ] {
        let findings = Setup::new().flag(key, value).findings();
        let [finding] = &findings[..] else { panic!("{}: {findings:?}", key.name) };
        for part in [key.name, value, remedy] {
            assert!(finding.contains(part), "{part} in {finding}");
        }
    }
}

#[test]
fn logs_and_traces_are_off_until_they_have_a_place_to_go() {
    let plan = Setup::new().plan();
    assert_eq!((plan.access_log.to, plan.trace.endpoint), (None, None));
    assert_eq!(plan.access_log.format, AccessLogFormat::Json);
    assert_eq!((plan.access_log.sample, plan.trace.sample), (1, 0));
    assert_eq!((plan.access_log.rotate_bytes, plan.access_log.keep), (Some(256 << 20), 8));
    let file = "[access_log]\nfile = \"/var/log/p.log\"\nformat = \"s3\"\nrotate = 0\nkeep = 3\n\
                [trace]\nendpoint = \"http://[::1]:4318\"\nsample = 1000";
    let plan = Setup::new().file(file).plan();
    assert_eq!(plan.access_log.to, Some(AccessLogTarget::File("/var/log/p.log".into())));
    assert_eq!((plan.access_log.rotate_bytes, plan.access_log.keep), (None, 3));
    assert_eq!(plan.trace.endpoint.unwrap(), "http://[::1]:4318/v1/traces");
    let stdout = Setup::new().flag(&keys::ACCESS_LOG_FILE, "stdout").plan();
    assert_eq!(stdout.access_log.to, Some(AccessLogTarget::Stdout));
    let whole = Setup::new().flag(&keys::TRACE_ENDPOINT, "http://collector/otlp/v1/traces");
    assert_eq!(whole.plan().trace.endpoint.unwrap(), "http://collector/otlp/v1/traces");
}

#[test]
fn wrong_values_of_logs_and_traces_are_named_with_their_remedy() {
    let cases: [(&'static Key, &str, &str); 10] = [
        (&keys::ACCESS_LOG_FILE, "", "write a path such as"),
        (&keys::ACCESS_LOG_FORMAT, "xml", "write one of json, s3"),
        (&keys::ACCESS_LOG_SAMPLE, "0", "write a number from 1 to 1000000"),
        (&keys::ACCESS_LOG_ROTATE, "1", "write at least 64KiB"),
        (&keys::ACCESS_LOG_KEEP, "0", "write a number from 1 to 1000"),
        (&keys::TRACE_ENDPOINT, "localhost:4318", "write http://HOST:PORT"),
        (&keys::TRACE_ENDPOINT, "/v1/traces", "write http://HOST:PORT"),
        (&keys::TRACE_ENDPOINT, "https://collector:4318", "run an OpenTelemetry collector"),
        (&keys::TRACE_ENDPOINT, "http://me:secret@collector", "OTEL_EXPORTER_OTLP_HEADERS"),
        (&keys::TRACE_SAMPLE, "10", "set trace.endpoint too"),
    ];
    for (key, value, remedy) in cases {
        let findings = Setup::new().flag(key, value).findings();
        let [finding] = &findings[..] else { panic!("{}: {findings:?}", key.name) };
        for part in [key.name, value, remedy] {
            assert!(finding.contains(part), "{part} in {finding}");
        }
    }
}

#[test]
fn an_administration_that_others_reach_is_never_open() {
    for open in ["0.0.0.0:9001", "[::]:9001", "10.1.2.3:9001"] {
        let findings = Setup::new().flag(&keys::ADMIN_LISTEN, open).findings();
        assert_eq!(findings.len(), 1, "{findings:?}");
        for part in ["admin_listen", open, "others than this machine", "admin.token_file"] {
            assert!(findings[0].contains(part), "{findings:?}");
        }
    }
    let plan = Setup::new()
        .file("admin_listen = \"0.0.0.0:9001\"\n[admin]\ntoken_file = \"/etc/penstock/tokens\"")
        .plan();
    assert_eq!(plan.admin.token_file, Some(PathBuf::from("/etc/penstock/tokens")));
    let tls = "tls_certificate = \"/c\"\ntls_key = \"/k\"\n";
    let open = "admin_listen = \"[::]:9001\"\n[admin]\n";
    // TLS alone keeps nobody away.
    assert_eq!(Setup::new().file(&format!("{open}{tls}")).findings().len(), 1);
    let plan = Setup::new().file(&format!("{open}{tls}client_ca = \"/a\"")).plan();
    assert_eq!(plan.admin.tls.unwrap().client_ca, Some(PathBuf::from("/a")));
    assert_eq!(Setup::new().plan().admin, AdminPlan::default());
}

#[test]
fn tls_of_the_administration_is_whole_or_not() {
    for (written, said) in [
        ("tls_certificate = \"/c\"", "set admin.tls_key too"),
        ("tls_key = \"/k\"", "set admin.tls_certificate too"),
        ("client_ca = \"/a\"", "set admin.tls_certificate and admin.tls_key too"),
    ] {
        let findings = Setup::new().file(&format!("[admin]\n{written}")).findings();
        assert!(findings.len() == 1 && findings[0].contains(said), "{findings:?}");
    }
}
