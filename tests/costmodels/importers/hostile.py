"""Files made to hurt whoever opens them, by what they do."""

import gzip
import io
import json
import pickle
import zipfile
import zlib

import pytest

MANY = 200_000


def _zip() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("profile.json", "{}")
    return out.getvalue()


class _Payload:
    def __reduce__(self) -> tuple[object, ...]:
        return (pytest.fail, ("a pickle was opened",))


_LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12))
HOSTILE = {
    "nothing": b"",
    "blanks": b" \n\t\n" * 1000,
    "zeros": b"\x00" * MANY,
    "UTF-16": '{"layers": []}'.encode("utf-16"),
    "latin-1": '{"layers": "ä"}'.encode("latin-1"),
    "a pickle": pickle.dumps({"layers": []}),
    "a pickle that runs code": pickle.dumps(_Payload()),
    "an old pickle": pickle.dumps(_Payload(), protocol=0),
    "a zip": _zip(),
    "a gzip": gzip.compress(b"{}"),
    "a zlib stream": zlib.compress(b"{}" * 1000),
    "deep JSON lists": b"[" * MANY + b"]" * MANY,
    "deep JSON objects": b'{"a":' * MANY + b"1" + b"}" * MANY,
    "open JSON": b'{"layers":[' * 1000,
    "nested to the limit": b'{"layers":' * 59 + b"1" + b"}" * 59,
    "a number of many digits": b'{"unit": "ms", "layers": [], "options": ' + b"9" * 10**6 + b"}",
    "a float of many digits": b'{"unit": "ms", "layers": [], "options": 0.' + b"9" * 10**6 + b"}",
    "NaN": b'{"layers": NaN}',
    "Infinity": b"[Infinity, -Infinity]",
    "1e400": b'{"layers": [1e400, -1e400]}',
    "repeated keys": b'{"layers": 1, "layers": 2}',
    "many keys": json.dumps({f"key{n}": n for n in range(MANY)}).encode(),
    "many values": b"[" + b"0," * MANY + b"0]",
    "many wide keys": json.dumps({f"1_{n}_{10**6 - n}_1_1_1_1": 1 for n in range(1, 10_000)}).encode(),
    "lone surrogates": b'{"execution_detail": [{"name": "\\ud800"}], "unit": "\\udfff", "layers": ["options"]}',
    "many entities": f"<!DOCTYPE net [<!ENTITY l0 'ha'>{_LAUGHS}]><net>&l11;</net>".encode(),
    "an outer entity": b"<!DOCTYPE net [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><net>&x;</net>",
    "deep XML": b"<net execTimeMcs='1'>" + b"<layers>" * MANY,
    "many attributes": b"<net " + b" ".join(b'a%d="execTimeMcs="' % n for n in range(50_000)) + b"/>",
    "YAML aliases": b"Conv-input:1x1x3-output:1x1x4: &a [x, x]\n"
    + b"".join(b"k%d: &k%d [%s]\n" % (n, n, b", ".join([b"*k%d" % (n - 1)] * 9)) for n in range(1, 30)),
    "deep YAML": b"Conv-input:1x1x3-output:1x1x4: " + b"[" * MANY,
    "deep YAML mappings": b"Conv-input:1x1x3-output:1x1x4: " + b"{a: " * MANY,
    "YAML that builds things": b'Conv-input:1x1x3-output:1x1x4: !!python/object/apply:os.system ["true"]\n',
    "a YAML number to the base 60": b"Conv-input:1x1x3-output:1x1x4: {mean: 1" + b":59" * MANY + b"}\n",
    "a YAML number in bits": b"Conv-input:1x1x3-output:1x1x4: {mean: 0b" + b"1" * 10**6 + b"}\n",
    "a YAML list as key": b"Conv-input:1x1x3-output:1x1x4: 1\n? [a, b]\n: 2\n",
    "YAML merged into itself": b"Conv-input:1x1x3-output:1x1x4: &a\n  <<: *a\n",
    "a long line": b"layer,latency_ms," + b"x" * 5 * 10**6,
    "a column many times": b"layer,latency_ms" + b",latency_us" * 100_000,
    "many columns": b"layer,latency_ms," + b",".join(b"latency%d" % n for n in range(20_000)),
    "many columns of channels": b"cin,cout," + b",".join(b"latency%d" % n for n in range(20_000)),
    "many lines": b"layer,latency_ms\n" + b"a,1\n" * 20_000,
    "an open quotation": b'layer,latency_ms\n"' + b"a,1\n" * MANY,
    "many open quotations": b"cin,cout,latency_ms\n" + b'"a",""""' * 100_000,
    "many names": b"base\n1\nprunable\n1\n" + b"".join(b"layer%d\n" % n for n in range(MANY)),
    "many points": b"base\n1\nprunable\n1\na\n" + b"1 0.5\n" * 20_000,
}
_ROWS = 100_001
LONG = {
    "tensorrt": b'[{"count": 1}' + b', {"name": "a", "averageMs": 1}' * _ROWS + b"]",
    "aihub": b'{"execution_detail": [' + b'{"name": "a"}, ' * _ROWS + b"{}]}",
    "option_tables": b'{"unit": "ms", "layers": [' + b'{"options": []}, ' * _ROWS + b"{}]}",
}
