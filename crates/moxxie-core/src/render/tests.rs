use super::*;
use proptest::prelude::*;
use serde_json::json;

fn context(params: serde_json::Value) -> RenderContext {
    RenderContext {
        machine: MachineValues {
            mac: "52:54:00:12:34:56".into(),
            mac_hyphen: "52-54-00-12-34-56".into(),
            arch: "amd64".into(),
            node_name: "cp-1".into(),
            ip: "10.0.0.5".into(),
            ..MachineValues::default()
        },
        params: params.as_object().cloned().unwrap_or_default(),
        profile: ProfileValues { name: "talos-cp".into(), profile_type: "talos".into() },
        moxxie: ServiceValues {
            base_url: "http://boot.example:8080".into(),
            asset_url: "http://boot.example:8080/boot/assets/talos-cp".into(),
            config_url: "http://boot.example:8080/boot/configs/talos-cp/52:54:00:12:34:56?t=T".into(),
            report_url: "http://boot.example:8080/boot/report?t=T".into(),
        },
    }
}

fn render_ok(source: &str, params: serde_json::Value) -> String {
    render(source, &context(params), CONFIG_TEMPLATE).unwrap()
}

fn render_err(source: &str, params: serde_json::Value) -> String {
    render(source, &context(params), CONFIG_TEMPLATE).unwrap_err().to_string()
}

#[test]
fn prints_what_configs_expect() {
    let params = json!({
        "on": true, "nothing": null, "n": 3, "f": 1.5, "list": ["a", 1], "map": {"k": "v"},
        "text": "<&'\">"
    });
    let cases = [
        ("{{ params.on }} {{ params.nothing }} {{ params.n }} {{ params.f }}", "true null 3 1.5"),
        ("{{ params.list }} {{ params.map }}", r#"["a",1] {"k":"v"}"#),
        ("{{ params.text }}", "<&'\">"),
        ("{{ machine.mac }} {{ machine.mac_hyphen }}", "52:54:00:12:34:56 52-54-00-12-34-56"),
        ("[{{ machine.uuid }}]", "[]"),
        ("{{ profile.name }}/{{ profile.profile_type }}", "talos-cp/talos"),
        ("{{ moxxie.asset_url }}/vmlinuz", "http://boot.example:8080/boot/assets/talos-cp/vmlinuz"),
        ("{{ params.absent | default('x') }}", "x"),
        ("{% if params.absent is defined %}a{% else %}b{% endif %}", "b"),
        ("{% for x in params.list %}{{ loop.index }}{{ x }} {% endfor %}", "1a 21 "),
        ("{{ 'a b/c' | urlencode }}", "a%20b/c"),
        ("{{ params.map | tojson }}", r#"{"k":"v"}"#),
        ("a\n{{ 'x\ny' | indent(2) }}", "a\nx\n  y"),
        ("{% raw %}{{ ds.meta_data }}{% endraw %}", "{{ ds.meta_data }}"),
        ("{% for i in range(3) %}{{ i }}{% endfor %}", "012"),
    ];
    for (source, output) in cases {
        assert_eq!(render_ok(source, params.clone()), output, "{source}");
    }
}

#[test]
fn errors_have_line_column_and_name() {
    let cases = [
        ("a\nb\n  disk: {{ params.install_disk }}", "line 3, column 12: params.install_disk is not defined"),
        ("{{ params.net.dns.x }}", "line 1, column 4: params.net.dns is not defined"),
        ("\u{e4}\u{e4}{{ machine.macc }}", "line 1, column 6: machine.macc is not defined"),
        ("x\n{{ foo }}", "line 2, column 4: foo is not defined"),
        ("{{ params['a-b'] }}", "line 1, column 4: params.a-b is not defined"),
        ("{% if params.x %}{% endif %}", "line 1, column 7: params.x is not defined"),
        ("{% for a in params.list2 %}{% endfor %}", "line 1, column 13: params.list2 is not defined"),
        ("{{ params.s | nosuch }}", "line 1, column 15: there is no filter nosuch"),
        ("{{ params.s is nosuch }}", "there is no test nosuch"),
        ("{{ nosuch() }}", "line 1, column 4: there is no function nosuch"),
        ("a\n{% if %}", "line 2, column 7: syntax error:"),
        ("a\n{{ 'x }}", "line 2, column 9: syntax error:"),
        ("{{ params.s ~ params.zz }}", "params.zz is not defined"),
        ("{{ params.s + 1 }}", "tried to use + operator on unsupported types string and number"),
        ("{% for a in params.n %}{% endfor %}", "number is not iterable"),
    ];
    for (source, message) in cases {
        let error = render_err(source, json!({"s": "secret", "n": 1, "net": {}}));
        assert!(error.contains(message), "{source}\n  {error}\n  {message}");
        assert!(error.starts_with("config_template: line "), "{error}");
    }
}

#[test]
fn positions_hold_in_long_sources() {
    let source = format!("{}{{{{ params.x }}}}", "\n".repeat(200_000));
    let error = render(&source, &context(json!({})), CONFIG_TEMPLATE).unwrap_err();
    assert_eq!((error.line, error.column), (Some(200_001), Some(4)));
}

/// Bad-input rows 63 to 67: each is stopped, quickly and without much memory.
#[test]
fn bombs_are_stopped() {
    let bombs = [
        "{% for a in range(10**9) %}x{% endfor %}".to_owned(),
        "{{ range(100000) | list | length }}{{ range(100000) | sort | list }}".repeat(9),
        "{{ 'a' * 10**8 }}".to_owned(),
        "{{ ('a' * 10**6) * 10**3 }}".to_owned(),
        "{{ [1] * 10**8 }}".to_owned(),
        "{{ 10 ** (10 ** 9) }}".to_owned(),
        "{{ '%1000000000d' | format(1) }}".to_owned(),
        "{{ 'a' | indent(1000000000, true) }}".to_owned(),
        "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}".to_owned(),
        "{% for a in range(3000) %}{{ 'x' * 1000 }}{% endfor %}".to_owned(),
        "{% set a = 'aaaaaaaaaa' %}".to_owned() + &"{% set a = a | replace('a', a) %}".repeat(12) + "{{ a }}",
        "{% set a = 'aaaaaaaaaa' %}".to_owned() + &"{% set a = a ~ a %}".repeat(40) + "{{ a }}",
        "{% set a = ['x'] %}".to_owned() + &"{% set a = a + a %}".repeat(40) + "{{ a }}",
        "{% set a = ['x'] %}".to_owned() + &"{% set a = [a, a] %}".repeat(40) + "{{ a }}",
        "{% set a = ['x'] %}".to_owned() + &"{% set a = [a, a] %}".repeat(40) + "{{ a | tojson }}",
        "{% set a = ['x'] %}".to_owned() + &"{% set a = [a, a] %}".repeat(40) + "{{ a | to_yaml }}",
        "{% set a = ['x'] %}".to_owned() + &"{% set a = [a, a] %}".repeat(40) + "{{ a | yaml_quote }}",
        "{% set a = ['x'] %}".to_owned() + &"{% set a = [a, a] %}".repeat(40) + "{{ a | string | length }}",
        "{% set a = ['x'] %}".to_owned() + &"{% set a = [a, a] %}".repeat(40) + "{{ a ~ '' }}",
        "{% set a = ['x'] %}".to_owned()
            + &"{% set a = [a, a] %}".repeat(40)
            + "{% set b = ['x'] %}"
            + &"{% set b = [b, b] %}".repeat(40)
            + "{{ a == b }}",
        "{% for a in [[[]]] recursive %}{{ loop([[[]]]) }}{% endfor %}".to_owned(),
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}".to_owned(),
        "{% include '/etc/shadow' %}".to_owned(),
        "{% import 'x' as y %}".to_owned(),
        "{% extends 'x' %}".to_owned(),
        "{{ debug() }}".to_owned(),
        "{{ self }}".to_owned(),
        "{{ ''.__class__ }}".to_owned(),
        "{{ namespace(a=1) }}".to_owned(),
        "{{ params | pprint }}".to_owned(),
        "(".repeat(10) + "{{" + &"(".repeat(100_000) + "}}",
        "{{ ".to_owned() + &"[".repeat(100_000) + "}}",
        "{{ ".to_owned() + &"not ".repeat(60_000) + "1 }}",
        "{{ ".to_owned() + &"-".repeat(200_000) + "1 }}",
        "{{ 1".to_owned() + &"|abs".repeat(60_000) + " }}",
        "{{ 1".to_owned() + &"+1".repeat(120_000) + " }}",
        "{{ a".to_owned() + &".a".repeat(120_000) + " }}",
        "{% if 1 %}".repeat(25_000),
        "{% if 1 %}".to_owned() + &"{% elif 1 %}".repeat(20_000) + "{% endif %}",
        "{% if 1 %}".to_owned() + &"{% else %}{% if 1 %}".repeat(12_000),
        "x".repeat(MAX_SOURCE + 1),
    ];
    // One that is not stopped keeps this test from ending.
    for bomb in bombs {
        let shown: String = bomb.chars().take(90).collect();
        let error = render(&bomb, &context(json!({"s": "canary"})), CONFIG_TEMPLATE);
        assert!(error.is_err(), "{shown}");
        let lenient = context(json!({}));
        assert!(check(&bomb, CONFIG_TEMPLATE, &[], &lenient).is_err(), "at save: {shown}");
    }
}

#[test]
fn containers_cannot_grow_and_everyday_templates_pass() {
    let good = [
        "{% set disk = params.disk ~ 'p1' %}{{ disk }}",
        "{{ [params.a, params.b] | join(',') }}",
        "{{ {'disk': params.disk} | tojson }}",
        "{% for x in [1, 2, 3] %}{{ x + 1 }}{% endfor %}",
        "{% for x in (1, 2) %}{{ loop.index + 1 }}{% endfor %}",
        "{{ params.n | int * 2 }} {{ 2 * 3 }} {{ params.n + 1 }} {{ 'a' + params.a }}",
        "{{- params.a -}}{%- if params.a -%}x{%- endif +%}",
        "{% set x %}{{ params.a }}{% endset %}{{ x }}",
        "{% with a = params.a, b = params.b %}{{ a }}{{ b }}{% endwith %}",
        "{% for u in params.users %}{{ u.name }}={{ u['x-y'] | shell_quote }}{% endfor %}",
        "{% for u in params.users | selectattr('name') %}{{ u.name }}{% endfor %}",
        "{{ params.users | map(attribute='name') | join(' ') }}{{ params.l | map('upper') | list }}",
        "{% raw %}{% set a = [a, a] %}{{ x }}{% endraw %}{# {{ nothing }} #}",
        "{{ params.l[0] }}{{ params.disk[:4] }}{{ '%02d' | format(params.n) }}",
        "{% if params.a == 'x' and params.b in ['y', 'z'] %}{% elif not params.a %}{% else %}{% endif %}",
        "{% for k, v in params.map | dictsort %}{{ k }}={{ v }}{% endfor %}",
        "{{ {'a': {'b': 1}} }}",
    ];
    let params = json!({
        "disk": "/dev/sda", "a": "x", "b": "y", "n": 1, "l": ["p"], "map": {"k": "v"},
        "users": [{"name": "u", "x-y": "1"}],
    });
    for source in good {
        let sample = context(params.clone());
        let checked = check(source, CONFIG_TEMPLATE, std::slice::from_ref(&sample), &sample);
        assert_eq!(checked, Ok(()), "{source}");
        let empty = context(json!({}));
        assert_eq!(check(source, CONFIG_TEMPLATE, &[], &empty), Ok(()), "{source}");
    }
    let bad = [
        "{% set a = [a] %}",
        "{% set a = (a, a) %}",
        "{% set a = a, a %}",
        "{% set a = {'k': a} %}",
        "{% set a = a + a %}",
        "{% set a = params.l * 9 %}",
        "{% set a = 9 * params.l %}",
        "{{ loop([x]) }}",
        "{{ [params.l | list, x] }}",
        "{% raw %}{% endrawx %}{#{% endraw %}{% set a = [a, a] %}",
        "{{ ']' }}{% set a = [a, a] %}",
        "{{ '}}' }}{% set a = [a, a] %}{{ '' }}",
        "{#}}#}{% set a = [a, a] %}",
        "{% set x = params.l | zip(params.l) %}",
        "{% set x = params.l | map('default', params.l) | list %}",
        "{% set x = params.l | map(attribute='q', default=params.l) | list %}",
    ];
    for source in bad {
        assert!(render(source, &context(params.clone()), CONFIG_TEMPLATE).is_err(), "{source}");
    }
    let many = format!("{{{{ [{}] }}}}", "params.l,".repeat(65));
    assert!(render(&many, &context(params), CONFIG_TEMPLATE).is_err());
}

#[test]
fn values_to_come_are_no_error_but_everything_else_is() {
    let sample = context(json!({"net": {"dns": "10.0.0.1"}}));
    let good = [
        "{{ params.install_disk }}",
        "{{ params.net.dns }} {{ params.net.gateway }} {{ params.a.b.c['d'] }}",
        "{% for x in params.disks %}{{ x.path }}{% endfor %}",
        "{% for k, v in params.map | items %}{{ k }}{% endfor %}",
        "{{ params.count | int + 1 }} {{ params.count + 1 }}",
        "{{ params.x | yaml_quote }} {{ params.x | b64encode }} {{ params.x | to_yaml }}",
        "{% if params.wipe %}a{% else %}b{% endif %}",
        "{% for x in params.tree recursive %}{{ loop(x.children) }}{% endfor %}",
        "{% for i in range(params.n) %}{% endfor %}",
        "{% if params.a %}{% set x = 1 %}{% else %}{% set x = 2 %}{% endif %}{{ x }}",
    ];
    for source in good {
        assert_eq!(check(source, BOOT_PARAMS, &[], &sample), Ok(()), "{source}");
    }
    let bad = [
        ("{{ foo }}", "boot_params: line 1, column 4: foo is not defined"),
        ("{{ machine.hostname }}", "boot_params: line 1, column 4: machine.hostname is not defined"),
        (
            "{% if params.a %}{% else %}\n{{ moxxie.confg_url }}{% endif %}",
            "boot_params: line 2, column 4: moxxie.confg_url is not defined",
        ),
        ("{% if params.a %}{% else %}{{ params.b | nosuch }}{% endif %}", "there is no filter nosuch"),
        ("{% for x in params.l %}{{ x | nosuch }}{% endfor %}", "there is no filter nosuch"),
        ("{{ params.a }}{{ range(10**9) }}", "range has too many elements"),
        ("{{ params.a ", "syntax error"),
    ];
    for (source, message) in bad {
        let error = check(source, BOOT_PARAMS, &[], &sample).unwrap_err().to_string();
        assert!(error.contains(message), "{source}: {error}");
    }
    // An assigned machine has all its values: there a missing one is an error, with its name.
    let error = check("{{ params.install_disk }}", BOOT_PARAMS, std::slice::from_ref(&sample), &sample);
    assert_eq!(
        error.unwrap_err().to_string(),
        "boot_params: line 1, column 4: params.install_disk is not defined (for cp-1)"
    );
}

#[test]
fn tells_which_params_are_used() {
    let used = used_params("{{ params.b.c }}{% for x in params.a %}{{ x }}{% endfor %}{{ machine.mac }}");
    assert_eq!(used, Ok(vec!["a".to_owned(), "b.c".to_owned()]));
}

/// Whatever fails, the message holds no value.
#[test]
fn errors_never_hold_values() {
    const CANARY: &str = "hunter2-Zq9x";
    let params = json!({
        "s": CANARY, "l": [CANARY], "m": {CANARY: CANARY, "k": CANARY}, "n": 918_273_645_i64,
        "f": 918_273.645, "d": "20x",
    });
    let expressions = [
        "S + 1",
        "1 + S",
        "S - 1",
        "-S",
        "S / 2",
        "S // 2",
        "S % 2",
        "S ** 2",
        "2 ** N",
        "N ** N",
        "N / 0",
        "F // 0",
        "N % 0",
        "-M",
        "S < 1",
        "S in 3",
        "1 in S",
        "S()",
        "S.x",
        "S.x.y",
        "S[S]",
        "M[S].y",
        "M.x.y",
        "L[9].x",
        "S | int",
        "S | float",
        "S | abs",
        "S | round",
        "S | sum",
        "L | sum",
        "S | nosuch",
        "1 | int(S)",
        "S is nosuch",
        "['a'] | map(S) | list",
        "L | map(S)",
        "L | map(attribute=S)",
        "[1] | select(S) | list",
        "[1] | selectattr(S, S) | list",
        "S | format(S)",
        "S | b64decode",
        "L | shell_quote",
        "S | tojson(S)",
        "S | tojson(indent=S)",
        "S | indent(S)",
        "range(S)",
        "range(N)",
        "range(1, 2, 0)",
        "S | default(S, S, S)",
        "S | replace(S)",
        "S | split(1, 2, 3)",
        "M | dictsort(by=S)",
        "L | sort(attribute=S)",
        "M | items | list | int",
        "S | attr(S)",
        "S | attr(S) ~ 1",
        "L | join(M, 2)",
        "S | first | nosuch",
        "S.upper()",
        "M.k()",
        "S | upper(S)",
        "S | trim(1, 2)",
        "S[1:2:0]",
        "N[1:]",
        "S | urlencode(S)",
        "S | bool(S)",
        "L | min(S)",
        "L | unique(S, S, S)",
        "machine[S]",
        "machine[S].x",
        "params[S]",
        "moxxie[S] ~ ''",
        "S ~ nosuch(S)",
        "L | length(S)",
        "S | lines(S)",
        "D | int",
        "D | float",
        "D + 1",
        "S | title(S)",
        "S | string(S)",
        "M | length + S",
        "S | yaml_quote(S)",
        "S if nosuch",
        "not S.x.y",
        "S and S.x.y",
        "loop(S)",
        "L(S=S)",
        "S | default(**M)",
        "range(*L)",
    ];
    let name = |e: &str| {
        e.replace('S', "params.s")
            .replace('L', "params.l")
            .replace('M', "params.m")
            .replace('N', "params.n")
            .replace('F', "params.f")
            .replace('D', "params.d")
    };
    let shapes: [fn(&str) -> String; 5] = [
        |e| format!("{{{{ {e} }}}}"),
        |e| format!("{{% if {e} %}}{{% endif %}}"),
        |e| format!("{{% for a, b in {e} %}}{{% endfor %}}"),
        |e| format!("{{% set x = {e} %}}{{{{ x.y.z }}}}"),
        |e| format!("{{% filter indent({e}) %}}{{% endfilter %}}"),
    ];
    let mut failed = 0;
    for expression in expressions {
        for shape in shapes {
            let source = shape(&name(expression));
            for error in [
                render(&source, &context(params.clone()), CONFIG_TEMPLATE).err(),
                check(&source, BOOT_PARAMS, &[context(params.clone())], &context(json!({}))).err(),
            ] {
                let Some(error) = error else { continue };
                failed += 1;
                for text in [error.to_string(), format!("{error:?}")] {
                    for secret in [CANARY, "hunter2", "918273645", "918273", "20x"] {
                        assert!(!text.contains(secret), "{source}: {text}");
                    }
                }
            }
        }
    }
    assert!(failed > 300, "only {failed} of the templates failed");
}

/// A config of the size of the largest real ones must pass with room to spare.
#[test]
fn a_large_config_fits_the_fuel() {
    let block = "machine:\n  install:\n    disk: {{ params.disk }}\n    image: {{ params.image | yaml_quote }}\n\
                 {% for n in params.ntp %}    - {{ n }}\n{% endfor %}  {# c #}hostname: {{ machine.node_name }}\n";
    let source = block.repeat(MAX_SOURCE / block.len());
    let params = json!({
        "disk": "/dev/disk/by-id/nvme-Samsung", "ntp": ["a.example", "b.example", "c.example"],
        "image": "factory.talos.dev/metal-installer/376567:v1.13.9",
    });
    let context = context(params);
    let values = Value::from(Serde(&context.params));
    let Ok((text, fuel)) = run(&source, &context, values, CONFIG_TEMPLATE) else { panic!() };
    assert!(text.len() > 200 * 1024);
    assert!(fuel * 2 < FUEL, "{fuel}");
    let plain = "# a line of plain text\n".repeat(MAX_SOURCE / 23);
    let Ok((_, fuel)) = run(&plain, &context, Value::from(()), CONFIG_TEMPLATE) else { panic!() };
    assert!(fuel * 20 < FUEL, "{fuel}");
}

#[test]
fn output_is_bounded() {
    let source = "{% set x %}{{ params.x }}{% endset %}".to_owned() + &"{{ x }}".repeat(30);
    let error = render_err(&source, json!({"x": "y".repeat(60 * 1024)}));
    assert!(error.contains("larger than 1024 KiB"), "{error}");
}

proptest! {
    #[test]
    fn any_source_is_rendered_or_refused(
        source in prop_oneof![
            "[{}%#a-c.|'\"() \n*+,=\\[\\]-]{0,40}",
            prop::collection::vec(
                prop::sample::select(vec![
                    "{{ ", " }}", "{% ", " %}", "for a in ", "if ", "endfor", "endif", "set a = ", "params.l",
                    "a", "[", "]", "(", ")", "{#", "#}", "raw", "endraw", " | ", "list", "'x'", ",", "~", "not ",
                ]),
                0..14,
            ).prop_map(|parts| parts.concat()),
        ]
    ) {
        let sample = context(json!({"l": ["v"]}));
        let _ = render(&source, &sample, CONFIG_TEMPLATE);
        let _ = check(&source, CONFIG_TEMPLATE, std::slice::from_ref(&sample), &sample);
        let _ = used_params(&source);
    }
}

#[test]
fn a_value_stays_inside_its_kernel_argument() {
    let render = |value: &str| {
        super::render("console={{ params.x }} quiet", &context(json!({"x": value})), BOOT_PARAMS)
    };
    assert_eq!(render("tty0").unwrap(), "console=tty0 quiet");
    for value in ["tty0 init=/bin/sh", "tty0\trd.break", "a\nb", "a\u{a0}b", " ", "\u{2028}"] {
        let error = render(value).unwrap_err().to_string();
        assert!(error.contains("several kernel arguments") && !error.contains("init"), "{error}");
    }
    // Blanks that the template itself writes are the admin's, and a config may hold any text.
    let list = "{% for a in params.l %}{{ a }} {% endfor %}";
    assert_eq!(super::render(list, &context(json!({"l": ["a=1", "b"]})), BOOT_PARAMS).unwrap(), "a=1 b ");
    assert_eq!(
        super::render("{{ params.x }}", &context(json!({"x": "a b"})), CONFIG_TEMPLATE).unwrap(),
        "a b"
    );
}
