"""What a secret looks like without knowing it: names, URLs, headers, options, well-known prefixes.

Patterns are kept as text and compiled by `re` when first used: the start of PID 1 is counted in milliseconds.
"""

import base64
import binascii
import itertools
import re
from collections.abc import Iterator

MASK = "***"

_ENDS = ("TOKEN", "SECRET", "SECRETS", "PASSWORD", "PASSWD", "PASSPHRASE", "APIKEY", "AUTHORIZATION")
_WORDS = frozenset({"CREDENTIAL", "CREDENTIALS", "PWD", "PASS", "PAT", "JWT"})
_LAST = frozenset({"KEY", "AUTH", "SIGNATURE", "COOKIE"})  # said of a variable; of a field only with a word of _BEFORE
_BEFORE = frozenset({"API", "ACCESS", "PRIVATE", "SECRET", "ACCOUNT", "ENCRYPTION", "SIGNING"})
# The last word of a name that tells about a secret and is none: HF_TOKEN_PATH, AUTH_TOKEN_TTL.
_ABOUT = frozenset(
    {
        "PATH", "FILE", "FILENAME", "DIR", "DIRECTORY", "URL", "URI", "ENDPOINT", "NAME", "NAMES", "TYPE", "METHOD",
        "MODE", "TTL", "TIMEOUT", "EXPIRY", "EXPIRES", "COUNT", "LENGTH", "LIMIT", "SIZE", "ENABLED", "DISABLED",
        "SOCK", "SOCKET", "HOST", "PORT", "PROVIDER", "ISSUER", "AUDIENCE", "HEADER", "PREFIX", "REF", "HELPER",
        "ALGORITHM",
    }
)  # fmt: skip
_PATH = (
    r"(?:file:)?(?:~|\.\.?)?/"
    r"(?:(?:s?bin|boot|cache|certs?|config|data|dev|etc|home|keys?|lib|media|mnt|models?|opt|proc|root|run|secrets?"
    r"|srv|sys|tmp|usr|var|work\w*|app)/|[\w./-]*\.(?:json|ya?ml|toml|txt|pem|key|crt|cert|pub|p12|env|conf|token)$)"
)


def secret_name(name: str, *, variable: bool = True) -> bool:
    """A variable (or a field of our own data) whose value is to be hidden. PWD is the working directory."""
    words = [w for w in re.split(r"[^A-Z0-9]+", name.upper()) if w]
    if not words or words[-1] in _ABOUT or name.upper() in ("PWD", "OLDPWD"):
        return False
    if any(w.endswith(_ENDS) or w in _WORDS for w in words):
        return True
    if any(a in _BEFORE and b in ("KEY", "KEYS") for a, b in itertools.pairwise(words)):
        return True
    return variable and words[-1] in _LAST and len(words) > 1 and words[-2] != "PUBLIC"


def ordinary(value: str) -> bool:
    """True when a value under a secret's name is none: empty, a flag, a path."""
    return value.lower() in ("", "true", "false", "none", "null", MASK) or bool(re.match(_PATH, value))


def secret_option(word: str) -> bool:
    """`--api-key`: the next word of the command line is a secret."""
    return word.startswith("-") and bool(re.fullmatch(rf"(?i)--?{_TELLING}", word))


def url_passwords(text: str) -> Iterator[str]:
    """The passwords of the URLs in `text`, as written and percent-decoded."""
    for pattern in (_USERINFO, _USERINFO_LOOSE):
        for match in re.finditer(pattern, text):
            yield match[2]
            if "%" in match[2]:
                raw = match[2].encode("utf-8", "surrogatepass")
                plain = re.sub(rb"%([0-9A-Fa-f]{2})", lambda m: bytes.fromhex(m[1].decode()), raw)
                yield plain.decode("utf-8", "surrogateescape")


_TELLING = (
    r"(?:[\w-]*[_-])?(?:api[_-]?keys?|access[_-]?key|secret[_-]?key|private[_-]?key|token|passwords?|passwd|passphrase"
    r"|secrets?|credentials?)"
)
_PLAIN = r"(?!\*\*\*|[$<]|\.\.\.)"  # hidden already, a reference, a placeholder
_NO_MARK = r"(?<![:,])"  # of the sentence it stands in: `URL?token=x: refused`
_SCHEME = r"(?:bearer|basic|digest|token|negotiate|apikey)\s"

_USERINFO = r"(://(?!\[)[^\s/:@?#\"'<>]*:)([^\s/\"'<>,]+)(?=@)"
# A password with a slash or comma in it; host:port/path@something is none.
_USERINFO_LOOSE = r"(://(?!\[)[^\s/:@?#\"'<>]*:)(?!\d{1,5}(?:[/?#,]|$))([^\s\"'<>]+?)(?=@)"
_USERINFO_ALONE = r"(://)([A-Za-z0-9_-]{20,})(?=:?[^\s/@]*@)"
_QUERY = (
    r"(?i)([?&;](?:x-amz-[\w-]+|x-goog-[\w-]+|[\w-]*token|sig|signature|key|[\w-]*api_?key|[\w-]*access_?key"
    rf"|password|passwd|pwd|[\w-]*secret|credentials?|awsaccesskeyid)=)([^&#\s\"'<>]+){_NO_MARK}"
)
_ASSIGNED = rf"(?i)(?<![\w/-])({_TELLING}=[\"']?){_PLAIN}([^\s\"'&;,]+){_NO_MARK}"
_FIELD = rf"(?i)([\"']{_TELLING}[\"']\s*:\s*)(\"(?:[^\"\\]|\\.)+\"|'(?:[^'\\]|\\.)+')"
_OPTION_VALUE = rf"(?i)(?<![\w-])(--{_TELLING}(?:=|\s+)[\"']?){_PLAIN}([^\s\"'-][^\s\"']*)"
_AUTHORIZATION = (
    rf"(?i)\b((?:proxy-)?authorization[\"']?\s*[:=]\s*[\"']?(?:{_SCHEME}+)?){_PLAIN}(?!{_SCHEME})([^\s\"',]+)"
)
_HEADER_VALUE = rf"(?i)\b(x-(?:api-key|auth-token|vault-token)[\"']?\s*[:=]\s*[\"']?){_PLAIN}([^\s\"',]+)"
_BEARER = r"(?i)\b(bearer\s+)(?!authenti|authori|credential|token)([A-Za-z0-9._~+/=-]{8,})"
_BASIC = r"(?i)\b(basic\s+)([A-Za-z0-9+/_-]{4,}={0,2})"
_SHAPES = (
    r"\bhf_[A-Za-z0-9]{16,}"
    r"|(?<![\w-])sk-(?=[\w-]*\d)[\w-]{16,}"
    r"|\bgh[oprsu]_[A-Za-z0-9]{16,}|\bgithub_pat_\w{20,}|\bglpat-[\w-]{16,}"
    r"|\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"
    r"|\bxox[abeprs]-[\w-]{10,}|\bnvapi-[\w-]{20,}|\bAIza[\w-]{30,}"
    r"|\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"
)
_PEM = r"(?s)-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\Z)"


def hide(text: str) -> str:
    """`text` with everything that looks like a secret replaced. Cheap tests first: most texts hold none."""
    low = text.lower()
    if "://" in text and "@" in text:
        text = re.sub(_USERINFO, _second, text)
        text = re.sub(_USERINFO_LOOSE, _second, text)
        text = re.sub(_USERINFO_ALONE, _second, text)
    if "=" in text:
        text = re.sub(_QUERY, _second, text)
        text = re.sub(_ASSIGNED, _second, text)
    if "--" in text:
        text = re.sub(_OPTION_VALUE, _second, text)
        if "PRIVATE KEY" in text:
            text = re.sub(_PEM, MASK, text)
    if ":" in text and ('"' in text or "'" in text):
        text = re.sub(_FIELD, lambda m: f"{m[1]}{m[2][0]}{MASK}{m[2][0]}", text)
    if "authorization" in low:
        text = re.sub(_AUTHORIZATION, _second, text)
    if "x-" in low:
        text = re.sub(_HEADER_VALUE, _second, text)
    if "bearer" in low:
        text = re.sub(_BEARER, _second, text)
    if "basic" in low:
        text = re.sub(_BASIC, lambda m: m[1] + MASK if _is_basic(m[2]) else m[0], text)
    return re.sub(_SHAPES, MASK, text)


def _second(match: re.Match[str]) -> str:
    return match[1] + MASK


def _is_basic(word: str) -> bool:
    """Base64 of user:password, as it stands behind `Basic`; "basic authentication" is prose."""
    word = word.rstrip("=")
    try:
        return b":" in base64.b64decode(word + "=" * (-len(word) % 4), altchars=b"-_")
    except (binascii.Error, ValueError):
        return False
