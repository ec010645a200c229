"""Which property names say that their value is private: `pwd`, `dateOfBirth`, `card-no`.

By whole words, in snake, kebab and camel case. A value that is only about private data
(`session_count`, `cookie_consent`, `is_mobile`) is not private: in English the last word says what
a thing is. Recognizing private data in text belongs to `privacy`.
"""

import re
from collections.abc import Sequence
from enum import Enum
from functools import lru_cache


def listed(text: str) -> Sequence[str]:
    """The words of a list that is written as text."""
    return text.split()


def _phrases(text: str) -> Sequence[str]:
    return [" ".join(phrase.split()) for phrase in text.split(",")]


_CREDENTIALS = frozenset(
    listed("""
    password passwd pwd pw mdp passwort kennwort geheimzahl contrasena contraseña senha passphrase
    passcode pincode wachtwoord hasło haslo parola şifre sifre salasana lösenord adgangskode heslo
    jelszó
    clave пароль 密码 密碼 パスワード 비밀번호 סיסמה पासवर्ड รหัสผ่าน
    otp totp hotp mfa tfa pin cvv cvc cvn csc secret token jwt bearer auth authorization oauth
    credential credentials cred creds apikey cookie cookies session sid sessid phpsessid jsessionid
    csrf xsrf nonce signature salt pem captcha recaptcha
    """)
)

# Private in any position, unless later words say that the value is only about them.
_THINGS = _CREDENTIALS | frozenset(
    listed("""
    mnemonic card cardholder ccv iban bic acct
    ssn itin nino nin nhs aadhaar aadhar cpf cnpj curp dni nif nie bsn pesel nric hkid personnummer
    passport medicare medicaid
    surname forename maiden nickname username fname lname vorname nachname prenom prénom apellido
    apellidos sobrenome
    initials spouse birthplace yob bday
    email mail phone telephone cellphone handphone landline tel telefon telefono teléfono fax
    whatsapp telegram msisdn
    address addr addressline adresse direccion dirección endereco endereço street strasse straße
    postcode postal zip zipcode plz
    ip ipv lat lng lon latitude longitude latlng latlon gps geolocation coordinates coords
    imei imsi udid idfa idfv gaid aaid ssid bssid fingerprint
    dob birth birthday birthdate geburtsdatum geburtstag naissance nacimiento nascita nascimento
    geboortedatum рождения 生年月日 出生日期 생년월일
    familienname nazwisko imię cognome achternaam voornaam efternamn фамилия имя отчество
    姓名 氏名 名前 이름 성명 adres indirizzo адрес 住所 地址 주소 телефон 电话 電話番号 전화번호
    reisepass pasaporte passeport passaporto паспорт 护照 護照 パスポート 여권 护照号码
    personalausweis steuernummer sozialversicherungsnummer снилс инн 身份证 身份证号
    マイナンバー 주민등록번호
    versicherungsnummer sozialversicherungsnr rentenversicherungsnummer versichertennummer anschrift
    cnp jmbg egn oib amka tckn emso
    wohnort telefonnummer handynummer steuerid kontonummer kontoinhaber rekeningnummer
    口座番号 银行卡号 계좌번호 kennzeichen führerschein
    """)
)

# Private in themselves; their kind, their code and whether there is one are private too.
_TRAITS = frozenset(
    listed("""
    diagnosis diagnoses disease illness medical medication medications prescription prescriptions
    symptom symptoms allergy allergies disability disabilities pregnant pregnancy blood icd hiv
    diabetes cancer asthma epilepsy genome dna biometric biometrics bmi dosage
    religion religious faith ethnicity ethnic caste gender pronouns sexual sexuality political
    nationality citizenship conviction convictions
    salary salaries wage wages income debt debts
    diagnose diagnóstico diagnosi диагноз 病名 诊断 진단 krankheit maladie enfermedad medikament
    medikamente allergie allergien gehalt salaire salario зарплата 年収 geschlecht sexe sexo género
    性别 性別 religión nationalité nationalität staatsangehörigkeit nacionalidad
    """)
)

_OF_PEOPLE = listed("""
    user customer client patient person member employee student guest passenger contact recipient
    sender owner holder driver citizen taxpayer subscriber voter my home work personal private
    billing shipping legal real display full first last middle given family nick mother mothers
    father fathers parent child wife husband partner
""")

_OWNERS = _OF_PEOPLE[: _OF_PEOPLE.index("billing")]

# Private in combination, each word harmless alone. `no` and `num` are `number` here.
_PHRASES = frozenset(
    {
        *(f"{who} name" for who in _OF_PEOPLE),
        *(f"{whose} {what}" for whose in _OWNERS for what in ("id", "number", "location")),
        *(
            f"{kind} key"
            for kind in listed("api access private priv encryption signing ssh license")
        ),
        *(
            f"{kind} {code}"
            for kind in listed(
                "verification security recovery backup factor reset access door time"
            )
            for code in ("code", "codes")
        ),
        *_phrases("""
            licence key, recovery phrase, seed phrase, security answer, account number, account
            holder, account id, account balance, bank account, bank acc, bank balance, cc number,
            routing number, sort code, net worth, credit score, tax id, tax identification, tax
            number, vat id, vat number, steuer id, fiscal code, codice fiscale, sin number, national
            id, id number, id card, identity number, identification number, visa number, social
            security, national insurance, insurance number, insurance id, policy number, driver
            license, drivers license, driver licence, drivers licence, driving license, driving
            licence, license plate, licence plate, number plate, license number, licence number,
            plate number, serial number, record number, house number, apartment number, apt number,
            flat number, po box, swift code, post code, precise location, forwarded for, device id,
            advertising id, android id, date of birth, next of kin, emergency contact, marital
            status, veteran status, immigration status, union membership, trade union, criminal
            record, health condition, health record, health issue, health history, health data,
            health insurance, mental health, heart rate, lab result, lab results, mobile number,
            cell number, account key, pass phrase, pass word, pass code, mot passe, clé api,
            clave api, nom famille, nom complet, nombre completo, nome completo,
            vollständiger name, numéro compte, número cuenta, номер счета, sécurité sociale,
            seguridad social, permis conduire
        """),
    }
)
_LONGEST_PHRASE = 3

# Private at the end of a name, alone or after a person (`age`, `user_age`; not `cache_age`).
_OF_SOMEBODY = frozenset(listed("age sex race pass pan mobile cell mac vin tin ein sin"))

# Private endings of a word, whatever comes before.
_SECRET_ENDINGS = (
    *("password", "passwd", "pwd", "passcode", "passphrase", "passwort", "kennwort"),
    *("密码", "密碼", "パスワード", "비밀번호"),
)
_ENDINGS = (
    *_SECRET_ENDINGS,
    *("email", "username", "address", "生年月日", "氏名", "姓名", "住所"),
)

# As the last word, these say that the value is about private data, and not private itself.
_ABOUT = frozenset(
    listed("""
    count counts total sum average length size limit quota rate ratio score quality strength level
    duration seconds minutes hours days time timeout age interval index position rank order
    type types kind category format version status state mode method provider service source
    channel consent policy setting settings preference preferences permission permissions
    valid invalid visible hidden missing present empty optional active available online open
    sent seen shown read set found forgotten lost in out top reset check success failure error
    errors attempt attempts retries opt
    brand model color colour style theme layout design icon image title label placeholder variant
    banner popup modal dialog form screen view page tab section menu nav list grid button link
    step flow filter filters option options app web os device platform site browser client
    campaign template subject domain provider frequency reminder notification notifications
    amount price fee cost currency discount plan tier product item items sku case cover deck
    file files archive download downloads upload usage per second country region ok ms family
    network scheme row column
    budget goal share depth breakpoint orientation reader algorithm choice notice friendly first
    only desktop taken events clicks views pages pageviews visits users orders
    """)
)
# After a trait only these do: a page or a filter is not personal.
_ABOUT_TRAITS = frozenset(
    listed("filter filters page tab section menu button banner form campaign screen dialog")
)
# `password_entered` may hold the password.
_HELD = frozenset(
    listed("""
    entered typed provided submitted given used hashed encrypted encoded masked normalized
    normalised selected saved stored attached string
    """)
)
# After the thing that they number or name, these are not private (`email_template_id`).
_NEUTRAL = _HELD | {"id", "ids", "number", "no", "name", "names"}

# As the first word, these ask or count.
_ASKING = frozenset(
    listed("""
    is are was has have had did does can could should will needs requires require num count max min
    avg show hide accept accepts allow allows enable disable remember forgot forget without
    """)
)
# `sessionNumber` is the session's ordinal number.
_HARMLESS = ("session number", "new session", "gift card")

_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_WORD = re.compile(r"[^\W\d_]+")


# The parts of words written without a separator (`phonenumber`, `userip`, `emailid`).
_PARTS = frozenset(
    {
        *_THINGS,
        *_OF_PEOPLE,
        *(word for phrase in _PHRASES for word in phrase.split()),
        *(
            "id",
            "name",
            "number",
            "num",
            "no",
            "nr",
            "code",
            "hash",
            "key",
            "value",
            "string",
            "text",
        ),
        *("old", "new", "confirm", "count", "type", "last", "used", "sent", "size", "length"),
    }
) - {"box", "time", "record", "mail", "score"}
_SHORTEST_PART = 2


class Said(Enum):
    """What a private name in a text says, which decides how its value looks there."""

    SECRET = "a password, a code, a key: one word"  # noqa: S105
    EVERYDAY = "a word that says much else too (`Session: morning`)"
    PERSONAL = "a name, an address, a diagnosis: words"


# Private only together with a value that looks like one. Addresses of mail and phone numbers are
# recognized by themselves.
_EVERYDAY = frozenset(
    listed("""
    session sessions cookie cookies card token secret auth pass signature salt pan mac cell
    email mail phone telephone tel mobile landline fax ip captcha initials race pin
    contact guest age sex
    """)
)


@lru_cache(maxsize=8_192)
def private_end(name: str) -> Said | None:
    """What a name in a text says, of several words (`your passport number`) or one (`otp_code`);
    None if it is not private. Only its last words count: `Passport photos` is not."""
    last = name.split(" ")[-1]
    if not _WORD.search(last):
        return None
    if _COMPOUND.search(last):
        words = _words_of(last) if is_private_name(last) else []
    else:
        words = _numbered(_words_of(name))
        found = _private_end(words)
        while not found and words and words[-1] in _TAILS:
            words.pop()
            found = _private_end(words)
        words = found
    if not words:
        return None
    if len(words) == 1 and words[0] in _EVERYDAY:
        return Said.EVERYDAY
    if words[-1] in {"passphrase", "phrase"}:
        return Said.PERSONAL
    is_secret = any(word in _CREDENTIALS or word.endswith(_SECRET_ENDINGS) for word in words)
    is_key = words[-1] in {"key", "passe", "api"} or (
        words[-1] in {"code", "codes"} and words[0] not in _CODES_OF_PLACES
    )
    return Said.SECRET if is_secret or is_key else Said.PERSONAL


_CODES_OF_PLACES = frozenset({"sort", "post", "postal", "zip", "swift", "fiscal"})


def _private_end(words: list[str]) -> list[str]:
    return next((words[at:] for at in range(len(words)) if _is_private_end(words, at)), [])


# `secret key`, `birth date`: as private as without them.
_TAILS = _NEUTRAL | {"key", "value", "hash", "phrase", "text", "code", "date", "place", "year"}
_COMPOUND = re.compile(r"[_.-]|(?<=[a-z0-9])[A-Z]")
_LINKS = frozenset({"de", "di", "da", "du"})


def _is_private_end(words: list[str], at: int) -> bool:
    # `political party`, `medical history`
    if words[at:] == ["pass"]:
        return True
    is_trait = at >= len(words) - 2 and words[at] in _TRAITS and words[-1] not in _ABOUT_TRAITS
    return len(words) - at <= _LONGEST_PHRASE and (is_trait or _is_thing(words, at, len(words)))


def _words_of(name: str) -> list[str]:
    found = [part for word in _WORD.findall(_HUMP.sub("_", name).lower()) for part in _parts(word)]
    return [word for word in found if word not in _LINKS]


@lru_cache(maxsize=8_192)
def is_private_name(name: str) -> bool:
    """Whether the value of a property with this name is private to its user."""
    words = _words_of(name)
    is_asked = bool(words) and words[0] in _ASKING
    words = _without_harmless(_numbered(words))
    for at in range(len(words)):
        for end in range(at + 1, min(at + _LONGEST_PHRASE, len(words)) + 1):
            if end == at + 1 and words[at] in _TRAITS:
                if not _is_about(words[end:], _ABOUT_TRAITS):
                    return True
            elif not is_asked and _is_thing(words, at, end) and not _is_about(words[end:], _ABOUT):
                return True
    return False


_NUMBERS = frozenset({"num", "no", "nr"})


def _numbered(words: list[str]) -> list[str]:
    # A leading `num` (`numCards`) is a count, a trailing one (`cardNum`) a number.
    return ["number" if at and word in _NUMBERS else word for at, word in enumerate(words)]


def _parts(word: str) -> list[str]:
    """The words in a word; the word itself if it is one."""
    if word in _THINGS or word in _TRAITS or word in _ABOUT:
        return [word]
    return _split(word) or [word]


def _split(word: str) -> list[str]:
    for end in range(len(word), _SHORTEST_PART - 1, -1):
        if word[:end] in _PARTS:
            rest = _split(word[end:])
            if rest or end == len(word):
                return [word[:end], *rest]
    return []


def _without_harmless(words: list[str]) -> list[str]:
    joined = f" {' '.join(words)} "
    for harmless in _HARMLESS:
        joined = joined.replace(f" {harmless} ", " ")
    return joined.split()


def _is_thing(words: list[str], at: int, end: int) -> bool:
    word = " ".join(words[at:end])
    if end - at > 1:
        return word in _PHRASES
    if word in _OF_SOMEBODY:
        return end == len(words) and (at == 0 or words[at - 1] in _OF_PEOPLE)
    is_one_of_many = word.removesuffix("s") in _THINGS and word not in _COUNTED
    return word in _THINGS or is_one_of_many or word.endswith(_ENDINGS)


# Plurals that are usually counts, while the singular is private.
_COUNTED = frozenset({"tokens", "sessions", "cards", "pins", "secrets"})


def _is_about(behind: list[str], words: frozenset[str]) -> bool:
    """Whether the words after a private word make the value something else."""
    while behind and behind[-1] in _NEUTRAL:
        behind = behind[:-1]
    if not behind:
        return False
    last = behind[-1]
    return last in words or (len(last) > len("red") and last.endswith(("ed", "ing")))
