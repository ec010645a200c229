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

# As it is, escaped for JSON, and for a page.
_QUOTE = r"(?:\\*[\"'’”]|&(?:quot|apos|#3[49]);)"
# `name: `, `name=`, `"name":`, of at most four words.
_LABEL = re.compile(
    rf"(?<![\w.$-])(?P<name>(?:[\w.$-]+ ){{0,3}}[\w.$-]*\w)(?P<quote>{_QUOTE}?)\s?"
    r"(?P<says>=[>›]|->|→|:=|[:=]|%(?:25)*3[ADad])(?!//)\s?"
)
_QUOTED = re.compile(
    r"(?P<quote>\\*[\"']|“|&(?:quot|apos|#3[49]);)(?P<value>.+?)(?:(?P=quote)|”|\Z)"
)
_UNMASKED = re.compile(rf"(?!{_SCHEME}{_MARK}){_NO_MARK}")
_ELEMENT = re.compile(r"[<‹](?P<name>[\w.:-]+)[>›](?P<value>[^<‹]+)(?=[<‹]/)")
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
        above all already also an and any are at available be below blank but can cannot
        changed choose contains disabled do does doesn doesnt done empty enabled enter
        erforderlich exists expired expires falsch false fehlt field fields for forgot
        forgotten free from has here hidden hide how if in incorrect incorrecta incorrecto
        invalid invalide inválida inválido is it later least length long match matches
        minimum mismatch missing must n/a needed negotiable new no none not null obligatoire
        obligatoria obligatorio obligatorisch of off ok old olvidada on only optional or
        other oublié oubliée our pending pflichtfeld please private protected public
        required requis requise reset same saved secret select set settings shall short
        should show soon step strength strong taken tbd than that the their this to today
        tomorrow too true unavailable undefined ungültig unknown unset unverified use valid
        vergessen verified view was weak what when where will with wrong yes yesterday you
        your
        """
    )
)
_SWITCHES = frozenset({"true", "false", "null", "none", "undefined", "yes", "no"})
_ASCII = re.compile("[a-z0-9]")
_PARTICIPLES = ("ed", "ing")
_SEPARATOR = re.compile("[:=→]|->|%(?:25)*3[ADad]")
_DIGIT = re.compile(r"\d")
_THREE_DIGITS = re.compile(r"\d\D{0,9}\d\D{0,9}\d")
_FEWEST_DIGITS = 3
_SHORTEST_SECRET = 4
_SHORTEST_ALONE = 6

_IS = r"(?:\s(?:is|was|ist|lautet|es|est|è|é|war))?"
_SPACED = re.compile(
    rf"(?<![\w.$])(?P<name>(?:[^\W\d][\w.-]*[ -]){{0,2}}[^\W\d][\w.-]*)"
    rf"(?: (?:for|of|to|für|de|del|zum) [\w.-]+)?{_IS}[\s#(]{{1,2}}"
    r"(?=\S*\d|[A-Z]+ \d)"
)
_IS_AT_END = re.compile(rf"(?:{_IS}|[は是为은는])\Z")
# `AB 12 34 56 C`, `A123456(3)`, `B-MW 1234`.
_ID = re.compile(
    r"(?!(?:19|20)\d\d(?![\w.-]))(?:[A-Z]{1,4}[ -]?)?[A-Z0-9]*\d[A-Z0-9()./-]*"
    r"(?:[ -](?:[A-Z0-9]*\d[A-Z0-9()./-]*|[A-Z]{1,3}(?![\w])))*"
)
_WORD = re.compile(r"(?=\S*\d)(?![\d.,:%]+(?:\s|\Z))\S+|\d{4,}")

_CODE_OF = (
    r"verification|verify|security|sicherheits|bestätigungs|login|log-?in|sign-?in|access|auth\w*"
    r"|confirmation|confirm|one.?time|otp|2fa|mfa|sms|tan|pass|backup|recovery|reset|anmelde|zugangs|einmal|freischalt|your|ihr|dein"
    r"|votre|ton|tu|su|il tuo|seu|enter|the|this"
)
_CODE = re.compile(
    rf"(?i)(?<![^\W_])((?:(?:{_CODE_OF})[ -]?(?:code|código|codice|pin|passcode)"
    r"|(?:code|código|codice) (?:de |di )?(?:sécurité|vérification|verificaci[óo]n|seguridad"
    r"|sicurezza|verifica|confirmation|подтверждения)"
    r"|код(?: подтверждения)?|验证码|驗證碼|認証コード|確認コード|인증번호|otp"
    r"|one.time (?:password|pin)|pin|m?tan|passcode|2fa(?: code)?|cvv2?|cvc2?|csc"
    r"|security code|(?:\A|(?<=[.!?;,(] ))code(?=: ?\d{6}(?!\d)))"
    r"(?: is| ist| lautet| es| est| è| é|是|は)?\s?[:=#(]?\s?[\"']?)(\d[\d -]{1,8}\d)(?!\d|[.,]\d)"
)
_IS_YOUR_CODE = re.compile(
    r"(?i)(?<![\w.])([A-Z]{1,2}-)?\d{3}[ -]?\d{1,5}"
    r"(?= (?:is|ist|est|es) (?:your|ihr|dein|votre|tu|su)\b)"
)
_USE_CODE = re.compile(
    r"(?i)(?<![^\W_])((?:use|enter|type|insert|code|pin) )\d{4,8}"
    r"(?= to (?:verify|confirm|sign|log|continue|complete|access|reset|finish|join)\b)"
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
    text = _ELEMENT.sub(_element, text) if "/" in text else text
    if _THREE_DIGITS.search(text):
        for pattern in (_BORN, _CODE, _USE_CODE, _IS_YOUR_CODE):
            text = pattern.sub(rf"\1{_MASK}", text)
    if _DIGIT.search(text):
        text = _masked_at(text, _spaced(text))
    return _masked_at(text, _labelled(text)) if _SEPARATOR.search(text) else text


def _element(found: re.Match[str]) -> str:
    is_private = private_end(found["name"]) and _UNMASKED.match(found["value"])
    return found[0].removesuffix(found["value"]) + _MASK if is_private else found[0]


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
        is_said = _UNMASKED.match(quoted["value"]) and not _is_switch(quoted["value"], said)
        return quoted.end() if is_said else None
    is_field = label["says"] != ":" or bool(label["quote"])
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
    if not found or _is_switch(found[0], said):
        return None
    is_said = is_field or _is_secret(found[0], said, text[found.end() :])
    return found.end() if is_said else None


def _is_switch(value: str, said: Said) -> bool:
    """Whether it only says that there is one: `secret_santa=true`."""
    return said is not Said.PERSONAL and value.strip(".,;)}").lower() in _SWITCHES


def _is_secret(value: str, said: Said, behind: str) -> bool:
    word = value.strip(".,;:!?\"'()").lower()
    # `Password: ********`, and what a form says in another script.
    if word in _NO_SECRET or not _ASCII.search(word):
        return False
    is_long = len(word) >= _SHORTEST_SECRET
    has_digit = any(character.isdigit() for character in value)
    if said is Said.EVERYDAY:
        # `Session: Morning yoga`, `Card: Visa`, `Race: 10 km`
        is_alone = behind[:1] != " " and not word.endswith(_PARTICIPLES)
        return is_long and (has_digit or (is_alone and len(word) > _SHORTEST_ALONE))
    return has_digit or is_long or not word.isalnum()


def _spaced(text: str) -> Iterator[tuple[int, int]]:
    """Where values with digits stand directly after a private name: `SSN 078-05-1120`."""
    at = 0
    while named := _SPACED.search(text, at):
        at = named.end()
        said = private_end(_IS_AT_END.sub("", named["name"]))
        if said is None:
            continue
        found = (_ID if said is Said.PERSONAL else _WORD).match(text, at)
        if found and _has_digits(found[0], said):
            yield at, found.end()
            at = found.end()


def _has_digits(value: str, said: Said) -> bool:
    if said is Said.SECRET:
        return len(value) >= _SHORTEST_SECRET
    if said is Said.EVERYDAY:
        # `my pass is hunter2`, but `session 2026`
        return len(value) >= _SHORTEST_ALONE and not value.isdigit() and value.isalnum()
    return sum(character.isdigit() for character in value) >= _FEWEST_DIGITS
