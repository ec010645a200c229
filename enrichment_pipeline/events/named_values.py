"""What a private name says in a text: `password: hunter2`, `"dob":"1985-03-12"`, `SSN 078-05-1120`,
`Your code is 483920`.

Which names are private is said by `private_names`.
"""

import re
from collections.abc import Iterator

from enrichment_pipeline.events.private_names import Said, listed, private_end

_MASK = "[token]"
# Also as it is written where brackets are made harmless.
_MARK = r"[\[(](?:email|phone|card|number|token)[\])]"
_NO_MARK = rf"(?!{_MARK})"
_SCHEME = r"(?i:basic|bearer|token|digest|apikey|negotiate):?\s"

# `name: `, `name=`, `"name":`, of at most four words.
_LABEL = re.compile(
    r"(?<![\w.$-])(?P<name>(?:[\w.$-]+ ){0,3}[\w.$-]*\w)[\"'’”]?\s?(?P<says>=[>›]|:=|[:=])(?!//)\s?"
)
_QUOTED = re.compile(r"\"[^\"]+\"?|'[^']+'?|“[^”]+”?")
_UNMASKED = re.compile(rf".(?!{_SCHEME}{_MARK}){_NO_MARK}")
# Up to what ends it, or to the next name.
_PHRASE = re.compile(
    rf"{_NO_MARK}(?:(?![;|\"<>{{}}\[\]()&]|,?\s[\w.-]+\s?[:=]\S|,\s[\w.-]+\s?[:=]|'(?!\w)).)+(?<!\s)"
)
_VALUE = re.compile(rf"{_NO_MARK}(?!{_SCHEME}{_MARK})(?:{_SCHEME})?[^\s]+")
_COOKIES = re.compile(rf"{_NO_MARK}[^\s;=]+=[^\s;]*(?:;\s?[^\s;=]+=?[^\s;]*)*")
_HEADERS_OF_COOKIES = ("cookie", "cookies")

# What stands after `Password:` in forms, and is none.
_NO_SECRET = frozenset(
    listed(
        """
        all already also an and any are at be blank but can cannot changed contains correct
        does doesn doesnt disabled do empty enabled enter expired expires false field fields
        for forgot forgotten from has hidden hide how if in incorrect invalid is it least
        length long match matches mismatch missing minimum must needed new no none not null
        of off ok old on only optional or our please protected required reset saved secret
        set settings shall short should show step strength strong than that the their this
        to too true undefined unset use valid view was weak what when where will with wrong
        yes you your
        """
    )
)
_DIGIT = re.compile(r"\d")
_THREE_DIGITS = re.compile(r"\d\D{0,9}\d\D{0,9}\d")
_FEWEST_DIGITS = 3
_SHORTEST_SECRET = 4
_SHORTEST_ALONE = 6

_IS = r"(?:\s(?:is|was|ist|lautet|es|est|è|é|war))?"
_SPACED = re.compile(
    rf"(?<![\w.$-])(?P<name>(?:[^\W\d][\w.-]*[ -]){{0,2}}[^\W\d][\w.-]*){_IS}[\s#]{{1,2}}"
    r"(?=\S*\d|[A-Z]+ \d)"
)
_IS_AT_END = re.compile(rf"{_IS}\Z")
# `AB 12 34 56 C`, `A123456(3)`, `B-MW 1234`.
_ID = re.compile(
    r"(?!(?:19|20)\d\d(?![\w.-]))(?:[A-Z]{1,4}[ -]?)?[A-Z0-9]*\d[A-Z0-9()./-]*"
    r"(?:[ -](?:[A-Z0-9]*\d[A-Z0-9()./-]*|[A-Z]{1,3}(?![\w])))*"
)
_WORD = re.compile(r"(?=\S*\d)(?![\d.,:%]+(?:\s|\Z))\S+|\d{4,}")

_CODE_OF = (
    r"verification|verify|security|sicherheits|bestätigungs|login|log-?in|sign-?in|access|auth\w*"
    r"|confirmation|confirm|one.?time|otp|2fa|mfa|sms|tan|pass|backup|recovery|reset|your|ihr|dein"
    r"|votre|ton|tu|su|il tuo|seu|enter|the|this"
)
_CODE = re.compile(
    rf"(?i)(?<![^\W_])((?:(?:{_CODE_OF})[ -]?(?:code|código|codice|pin|passcode)"
    r"|(?:code|código|codice) (?:de |di )?(?:sécurité|vérification|verificaci[óo]n|seguridad"
    r"|sicurezza|verifica|confirmation|подтверждения)"
    r"|код(?: подтверждения)?|验证码|驗證碼|認証コード|確認コード|인증번호|otp"
    r"|one.time (?:password|pin)|pin|tan|passcode|2fa(?: code)?|cvv2?|cvc2?|csc|security code)"
    r"(?: is| ist| lautet| es| est| è| é)?\s?[:=#]?\s?[\"']?)(\d[\d -]{1,8}\d)(?!\d|[.,]\d)"
)
_IS_YOUR_CODE = re.compile(
    r"(?i)(?<![\w.])(?:[A-Z]{1,2}-)?\d{3}[ -]?\d{1,5}"
    r"(?= (?:is|ist|est|es) (?:your|ihr|dein|votre|tu|su)\b)"
)
_DATE = (
    r"(?:\d{1,4}[./-]\d{1,2}[./-]\d{1,4}|\d{1,2}\.? [^\W\d_]{3,9}\.? \d{2,4}"
    r"|[^\W\d_]{3,9}\.? \d{1,2}(?:st|nd|rd|th)?,? \d{4})(?!\d)"
)
_BORN = re.compile(
    r"(?i)(?<!\w)((?:born|geboren|geb\.|née?|nat[oa]|nacid[oa]|nascid[oa]|родил(?:ся|ась)|dob|d\.o\.b\.?"
    r"|birth(?:day|date)?)"
    rf"(?: on| am| le| il| el| em| is|:)? ?){_DATE}"
)


def without_named(text: str) -> str:
    """`text` with `[token]` in place of what private names say."""
    if _THREE_DIGITS.search(text):
        text = _IS_YOUR_CODE.sub(_MASK, _CODE.sub(rf"\1{_MASK}", _BORN.sub(rf"\1{_MASK}", text)))
    if _DIGIT.search(text):
        text = _masked_at(text, _spaced(text))
    return _masked_at(text, _labelled(text)) if ":" in text or "=" in text else text


def _masked_at(text: str, places: Iterator[tuple[int, int]]) -> str:
    parts: list[str] = []
    at = 0
    for start, end in places:
        parts += [text[at:start], _MASK]
        at = end
    return "".join([*parts, text[at:]])


def _labelled(text: str) -> Iterator[tuple[int, int]]:
    """Where values stand after a private name and a colon or an equals sign."""
    at = 0
    while label := _LABEL.search(text, at):
        at = label.end()
        if (said := private_end(label["name"])) and (end := _value_end(text, label, said)):
            yield at, end
            at = end


def _value_end(text: str, label: re.Match[str], said: Said) -> int | None:
    at = label.end()
    if quoted := _QUOTED.match(text, at):
        return quoted.end() if _UNMASKED.match(quoted[0]) else None
    is_field = label["says"] != ":" or text[label.end("name")] in "\"'"
    if label["name"].lower().endswith(_HEADERS_OF_COOKIES):
        found = _COOKIES.match(text, at)
        if found:
            return found.end()
    if said is Said.PERSONAL:
        found = _PHRASE.match(text, at)
        if found and (is_field or found[0].split()[0].lower() not in _NO_SECRET):
            return found.end()
        return None
    found = _VALUE.match(text, at)
    if not found or not (is_field or _is_secret(found[0], said, text[found.end() :])):
        return None
    return found.end()


def _is_secret(value: str, said: Said, behind: str) -> bool:
    word = value.strip(".,;:!?\"'()").lower()
    if word in _NO_SECRET:
        return False
    has_digit = any(character.isdigit() for character in value)
    if said is Said.EVERYDAY:
        # `Session: Morning yoga`, `Card: Visa`
        return has_digit if behind[:1] == " " else len(word) > _SHORTEST_ALONE
    return has_digit or len(word) >= _SHORTEST_SECRET or not word.isalnum()


def _spaced(text: str) -> Iterator[tuple[int, int]]:
    """Where values with digits stand directly after a private name: `SSN 078-05-1120`."""
    at = 0
    while named := _SPACED.search(text, at):
        at = named.end()
        said = private_end(_IS_AT_END.sub("", named["name"]))
        if said is None or said is Said.EVERYDAY:
            continue
        found = (_WORD if said is Said.SECRET else _ID).match(text, at)
        if found and _has_digits(found[0], said):
            yield at, found.end()
            at = found.end()


def _has_digits(value: str, said: Said) -> bool:
    digits = sum(character.isdigit() for character in value)
    return len(value) >= _SHORTEST_SECRET if said is Said.SECRET else digits >= _FEWEST_DIGITS
