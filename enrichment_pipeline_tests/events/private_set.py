"""A set of private and of harmless texts as they stand in events, and how much of it is masked.

A kind is a list of forms, and of the places in which they stand. A third of the forms (`is_held`)
was looked at only after the rules had been written. `private_texts.tsv` has whole texts, in batches
that were each written later, without looking at the rules.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

LONGEST = 60
_PLACES_OF_A_FORM = 5


class Sample(NamedTuple):
    """A text of at most 60 characters, and what of it is private (empty: nothing)."""

    kind: str
    text: str
    secret: str
    is_held: bool


# Where what can be recognized by itself may stand; `~` is its place.
_ANYWHERE = (
    *("~", "Write to ~ now", "Error: no user ~ found", '{"v":"~","n":1}', "(~)", "row 7,~,ok"),
    *("Kontakt: ~", "連絡先は~です", "Ответить ~ сегодня", "<b>~</b>", "of «~»", "at\n~\nend"),
    *("value='~'", "to:~", "✉ ~", "- ~ -", "Failed for ~.", "x=~, y=2", "[~]", "“~”"),
)
_IN_PATHS = ("/u/~/edit", "/go/~", "https://a.example/s/~", "/x?q=~&p=2", "Viewed /a/~ twice")
_SECRETS = (
    *("password: ~", "pwd=~", "Password is ~", '{"password":"~"}', "login failed, password=~"),
    *("passwd ~ was refused", "Passwort: ~", "contraseña: ~", "Mot de passe : ~", "пароль: ~"),
    *(
        "密码：~",
        "パスワード：~",
        "비밀번호: ~",
        "user_password => ~",
        "'pwd': '~'",
        "--password=~",
    ),
    *("PASSWORD=~", "db.password: ~", "&pass=~&", "wachtwoord: ~", "hasło: ~", "my password: ~"),
)
_CODES = (
    *("Your code is ~", "OTP: ~", "otp=~", "verification code ~", "~ is your login code"),
    *(
        "Enter code ~ to sign in",
        "PIN: ~",
        '{"otp":"~"}',
        "Ihr Code lautet ~",
        "code de sécurité : ~",
    ),
    *("验证码：~", "код подтверждения: ~", "one-time password ~", "2FA code: ~", "認証コード：~"),
    *("TAN: ~", "Tu código es ~", "pin ~", "security code: ~", "passcode=~"),
)


def _with(*names: str) -> tuple[str, ...]:
    """Places that say by a name what stands there."""
    forms = ("{}: ~", "{}=~", '"{}":"~"', "{} ~", "{} is ~", "bad {}: ~", "{}: ~, sku: 7", "({}=~)")
    return tuple(
        forms[(2 * at + shift) % len(forms)].format(name)
        for at, name in enumerate(names)
        for shift in (0, 1, 3)
    )


def _named(*names: str) -> tuple[str, ...]:
    """As `_with`, for what only a colon or an equals sign separates from a sentence."""
    forms = ("{}: ~", "{}=~", '"{}":"~"', "bad {}: ~", "{}: ~, sku: 7", "({}=~)")
    return tuple(
        forms[(at + shift) % len(forms)].format(name)
        for at, name in enumerate(names)
        for shift in (0, 1, 2)
    )


PRIVATE: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "email": (
        (
            *("jane@corp.example", "j.d+x@mail.co.uk", "o'neil@uni-bonn.de", "用户@例子.公司"),
            *("JANE_D@CORP.IO", "max.muster@web.de", "ann-b@x.museum", "ü.öz@büro.de"),
        ),
        _ANYWHERE + _IN_PATHS,
    ),
    "email, disguised": (
        (
            *("jane (at) corp (dot) example", "jane[at]corp[dot]com", "jane at corp dot com"),
            *("jane&#64;corp.example", "jane%40corp.example", "jane@corp (dot) com"),
            *("jane {at} corp {dot} org", "jane AT corp DOT com", "ｊａｎｅ＠ｃｏｒｐ．ｃｏｍ"),
            *("jane @ corp.example", "jane&commat;corp.example", "jane(at)corp.example"),
            *("jane\u200b@corp.example", "jane ＠ corp．example", "jane[@]corp[.]example"),
        ),
        _ANYWHERE,
    ),
    "phone": (
        (
            *("+49 151 23456789", "+1 (415) 555-2671", "+44 7911 123456", "+33 6 12 34 56 78"),
            *("0049 151 23456789", "0151 23456789", "(415) 555-2671", "415.555.2671"),
            *("+91-98765-43210", "06 12 34 56 78", "090-1234-5678", "8 (912) 345-67-89"),
            *(
                "＋４９ １５１ ２３４５６７８９",
                "٠١٧١٢٣٤٥٦٧٨",
                "+55 11 91234-5678",
                "1-800-555-0199",
            ),
            *("+49(0)30/901820", "0171/1234567", "+41 44 668 18 00", "138 0013 8000"),
        ),
        _ANYWHERE,
    ),
    "card": (
        (
            *("4111 1111 1111 1111", "4111,1111,1111,1111", "4111-1111-1111-1111"),
            *(
                "5500000000000004",
                "3782 822463 10005",
                "6011.0009.9013.9424",
                "4111_1111_1111_1111",
            ),
            *("４１１１１１１１１１１１１１１１", "4111, 1111, 1111, 1111", "5555|5555|5555|4444"),
            *(
                "4242/4242/4242/4242",
                "30569309025904",
                "4111:1111:1111:1111",
                "3566 0020 2036 0505",
            ),
            *("4012·8888·8888·1881", "4111%201111%201111%201111", "5105–1051–0510–5100"),
        ),
        _ANYWHERE,
    ),
    "account": (
        (
            *(
                "DE89 3704 0044 0532 0130 00",
                "GB29NWBK60161331926819",
                "fr1420041010050500013m02606",
            ),
            *("NL91 ABNA 0417 1643 00", "CH93-0076-2011-6238-5295-7", "ES9121000418450200051332"),
            *("PL61 1090 1014 0000 0712 1981 2874", "AT611904300234573201"),
            *("ＤＥ８９３７０４００４４０５３２０１３０００", "BE68 5390 0754 7034"),
        ),
        _ANYWHERE,
    ),
    "account by name": (
        ("12345678", "000123456", "1234567890", "20-00-00 55779911", "021000021", "7-3421-09"),
        _named("account number", "accountNo", "bank_account", "Kontonummer", "routing number")
        + _named("sort code", "numéro de compte"),
    ),
    "national id": (
        (
            *("078-05-1120", "529.982.247-25", "850312-1234", "AB 12 34 56 C", "12345678Z"),
            *("X1234567L", "RSSMRA85T10A562S", "1 85 05 78 006 084 36", "756.9217.0769.85"),
            *("S1234567D", "ABCPE1234F", "11010519491231002X", "131052-308T", "A123456(3)"),
            *("GOML850312HDFRRN09", "2345 6789 0124", "44051401359", "078 05 1120", "1234567FA"),
        ),
        _with("ssn", "national id", "NINO", "DNI", "Personalausweis", "codice fiscale", "CPF")
        + _with("tax id", "aadhaar", "identity number", "PAN number"),
    ),
    "national id by itself": (
        (
            *("078-05-1120", "529.982.247-25", "AB 12 34 56 C", "AB123456C", "12345678Z"),
            *("X1234567L", "RSSMRA85T10A562S", "1 85 05 78 006 084 36", "756.9217.0769.85"),
            *("S1234567D", "11010519491231002X", "850312-1234567", "2345 6789 0124", "44051401359"),
        ),
        _ANYWHERE[:10],
    ),
    "passport": (
        ("X1234567", "C01X00T47", "123456789", "N1234567", "AB1234567", "E00007734", "L898902C3"),
        _with("passport", "passport_number", "Passport No", "Reisepass", "pasaporte")
        + _named("passeport", "паспорт", "护照号码", "passportNo"),
    ),
    "licence or plate": (
        ("D1234567", "MORGA753116SM9IJ", "B-MW 1234", "AB12 CDE", "F255-9215-0094", "7ABC123"),
        _named("license plate", "driver licence", "drivers_license", "Kennzeichen", "plateNumber"),
    ),
    "password": (
        (
            *(
                "hunter2",
                "Tr0ub4dor&3",
                "correct-horse-battery",
                "S3cr3t!",
                "qwertz123",
                "p@ssw0rd",
            ),
            *("swordfish99", "Sommer2024!", "ｈｕｎｔｅｒ２", "letmein1", "пароль123", "x!9Lm#2q"),
        ),
        _SECRETS,
    ),
    "password of letters": (
        ("opensesame", "swordfish", "letmein", "sunshine", "iloveyou", "hunterxyz"),
        tuple(one for one in _SECRETS if re.search("[:：=>]", one)),
    ),
    "code": (("483920", "7741", "92814", "0042", "938 201", "８８２０１９", "55021873"), _CODES),
    "card code": (
        ("123", "4567", "987", "044"),
        _with("CVV", "cvc", "card security code", "Prüfziffer CVV", "cvv2"),
    ),
    "bearer": (
        (
            *(
                "abcdefghijklmnopqrst",
                "abc123xyz",
                "ZmFrZXRva2Vu",
                "mF_9.B5f-4.1JqM",
                "abcDEFghiJKL",
            ),
            *(
                "0b79bab50daca910b000d4f1a2b675d604",
                "abcdefghijklmnop",
                "AbCdEf-GhIjKl",
                "xyz.abc-7",
            ),
        ),
        (
            *("Authorization: Bearer ~", "Bearer ~", "header bearer ~ refused", "auth=Bearer ~"),
            *('"authorization":"Bearer ~"', "-H 'auth: Bearer ~'", "401 for BEARER ~", "Bearer: ~"),
            *(
                "Authorization=Bearer: ~",
                "Authorization: Token token=~",
                "curl Bearer ~",
                "Token token=~",
            ),
        ),
    ),
    "basic": (
        ("amFuZTpodW50ZXIy", "dXNlcjpwYXNzd29yZA==", "cm9vdDp0b29y", "YWRtaW46YWRtaW4="),
        (
            *("Authorization: Basic ~", "Basic ~", "header basic ~ refused", "auth=Basic ~"),
            *('"authorization":"Basic ~"', "proxy-authorization: BASIC ~", "401 for Basic ~."),
        ),
    ),
    "key of a provider": (
        (
            *(
                "sk_live_4eC39HqLyjWDarjtT1zdp7dc",
                "sk-proj-abcdefghijklmnop",
                "AKIAIOSFODNN7EXAMPLE",
            ),
            *(
                "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
                "AIzaSyA-1234567890abcdefGHIJKLMNOPQRSTU",
            ),
            *("xoxb-123456789012-abcdefGHIJKL", "glpat-abcDEFghiJKL", "hf_abcdefghijklmnopqrst"),
            *(
                "npm_abcdefghijklmnopqrstuvwx",
                "dop_v1_abcdefabcdefabcdefabcd",
                "GOCSPX-abcdefGHIJklmnop",
            ),
            *("SG.abcdefghijklmnop.qrstuv", "shpat_abcdefabcdefabcdefab", "phx_abcdefghijklmnop"),
            *(
                "sq0atp-abcdefGHIJKLmnopqrst",
                "lin_api_abcdefghijklmnopqrst",
                "figd_abcdefghijklmnop",
            ),
            *(
                "gsk_abcdefghijklmnopqrstuv",
                "AC0123456789abcdef0123456789abcdef",
                "r8_abcdefghijklmnopq",
            ),
            *(
                "xapp-1-A012-345-abcdef",
                "secret_abcdefghijklmnopqrstuv",
                "dapi0123456789abcdef0123",
            ),
            *(
                "123456789:AAEabcdefghijklmnopqrstuvwxyz01234",
                "EAACEdEose0cBAabcdef",
                "sbp_abcdef012345",
            ),
        ),
        (*_ANYWHERE[:14], *_IN_PATHS[:3]),
    ),
    "key by name": (
        (
            *("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "abcdefghijkl", "s3cr3t-k3y", "Zx8Qk2"),
            *("topsecretvalue", "9f8e7d6c", "QWERTYUIOP", "xyzzy"),
        ),
        _named("aws_secret_access_key", "api_key", "apiKey", "client_secret", "X-Api-Key")
        + _named(
            "private key", "access_token", "clé API", "secretKey", "AccountKey", "refresh token"
        ),
    ),
    "jwt": (
        (
            *("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc-_def", "eyJhbGciOiJub25lIn0.eyJhIjoxfQ."),
            *("eyJraWQiOiJrMSJ9.eyJpc3MiOiJ4In0.c2ln", "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9"),
        ),
        _ANYWHERE + _IN_PATHS,
    ),
    "cookie": (
        (
            *("sid=abcdefgh", "session=qwertyuiop; theme=dark", "JSESSIONID=A1B2C3D4E5"),
            *(
                "connect.sid=s%3Aabcdef.ghi",
                "auth=yes-abc; a=bcdef",
                "_ga=GA1.2.123456789.1700000000",
            ),
            *("PHPSESSID=el4ukv0kqbvoirg7nkp4dncpk3", "remember_me=ann-27; x=qqqqq"),
        ),
        (
            "Cookie: ~",
            "Set-Cookie: ~",
            '"cookie":"~"',
            "cookie: ~",
            "set-cookie: ~; Path=/",
            "Cookie=~",
        ),
    ),
    "reset token": (
        (
            *("kQzXwVbNmLpRtYsD", "qxzvkwjhpbrtnmlg", "7f3a9b2c1d", "abcdEFGHijklMNOP"),
            *("QWZXKJHGFDPLMNBV", "zzkqpwmvbnxtrchj", "aGVsbG8td29ybGQ", "mXqPzRkLwNvB"),
        ),
        (
            *("/reset/~", "/reset-password/~", "/verify/~", "/invite/~/accept", "/magic-link/~"),
            *(
                "/password/reset/~",
                "/confirm-email/~",
                "/auth/verify/~",
                "https://a.example/activate/~",
            ),
            *(
                "/unsubscribe/~",
                "/users/confirmation/~",
                "/invitation/~",
                "/login/token/~",
                "/share/~",
            ),
            *("Viewed /reset/~", "link: /verify/~", "/account/recover/~", "/#/reset/~"),
        ),
    ),
    "token": (
        (
            *("550e8400-e29b-41d4-a716-446655440000", "d41d8cd98f00b204e9800998ecf8427e"),
            *("x7Gh2kL9qW3e", "dGhpcyBpcyBhIHNlY3JldA==", "kQzXwVbNmLpRtYsDfGhJ", "A1b2C3d4E5f6"),
            *("0x52908400098527886E0F7030069857D2E4169EE7", "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"),
            *("bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq", "3f9a1c7e5b2d4f60"),
        ),
        _ANYWHERE[:14] + _IN_PATHS,
    ),
    "user and password in a URL": (
        (
            *(
                "jo:hunter2@",
                "admin:s3cr3t@",
                "app:p%40ss@",
                "root:toor99@",
                ":redispass@",
                "u:p@ss@",
            ),
            *("token12345@", "mike:open-sesame@"),
        ),
        (
            *("https://~host.example/x", "postgres://~db:5432/x", "redis://~cache/0", "//~host/x"),
            *("mongodb+srv://~c0.example", "clone git+https://~git.example/r", "amqp://~mq/"),
            *("ftp://~files.example", "see https://~host/x now", "mysql://~db/x"),
        ),
    ),
    "query": (
        ("email=ann", "token=abc", "q=my+disease", "name=Ann+Smith", "code=12", "key=topsecret"),
        (
            *(
                "/search?~",
                "https://a.example/p?~#top",
                "/cb#~",
                "see /a?~ there",
                "/p?x=1&~",
                "a/b?~",
            ),
            *("https://a.example/?~", "/x;~", "Viewed /r?~"),
        ),
    ),
    "ip": (
        (
            *("203.0.113.42", "192.168.17.23", "198.51.100.7", "2001:db8:85a3::8a2e:370:7334"),
            *("fe80::1ff:fe23:4567:890a", "172.16.254.31", "84.23.111.9", "2a02:810d:8abf:1::2"),
        ),
        (*_ANYWHERE[:12], "from ~", "client_ip=~", "IP ~ blocked", "http://~/admin", "~:8080"),
    ),
    "hardware": (
        (
            *("00:1A:2B:3C:4D:5E", "a4-83-e7-12-9f-c0", "490154203237518", "35-209900-176148-1"),
            *("1HGCM82633A004352", "310150123456789", "AA:BB:CC:11:22:33"),
        ),
        (*_ANYWHERE[:10], "MAC ~", "IMEI ~", "VIN: ~", "imsi=~", "device ~"),
    ),
    "birth": (
        ("12.03.1985", "1985-03-12", "03/12/1985", "12 March 1985", "March 12, 1985", "12/3/85"),
        (
            *(
                "DOB: ~",
                "dob=~",
                "date of birth: ~",
                '"birthDate":"~"',
                "born ~",
                "Geburtsdatum: ~",
            ),
            *("born on ~", "geboren am ~", "né le ~", "fecha de nacimiento: ~", "生年月日：~"),
            *("дата рождения: ~", "birthday: ~", "DOB ~", "date_of_birth=~", "Date of birth ~"),
        ),
    ),
    "place": (
        (
            *("52.520008, 13.404954", "40.712776,-74.005974", "-33.868820, 151.209296"),
            *("48.85661 2.35222", "52.5200° N, 13.4050° E", "35.6895,139.6917"),
        ),
        (
            "at ~",
            "~",
            "location: ~",
            "geo=~",
            "(~)",
            "coords: ~",
            "/near/~",
            "gps ~",
            "[~]",
            "map of ~",
        ),
    ),
    "name by name": (
        ("Featherstone", "Ann Smith", "O'Neil", "Müller-Lüdenscheidt", "Иванова", "山田太郎"),
        _named("surname", "first_name", "lastName", "Nachname", "Vorname", "full name")
        + _named("customerName", "nom de famille", "apellidos", "фамилия", "姓名", "patient_name"),
    ),
    "address by name": (
        ("12 Main Street", "Hauptstr. 12, 10115 Berlin", "5 rue de Rivoli", "90210", "SW1A 1AA"),
        _named("address", "street", "shipping_address", "postcode", "zip", "Adresse", "dirección")
        + _named("адрес", "住所", "billingAddress"),
    ),
    "health": (
        ("diabetes", "Type 2 diabetes", "HIV positive", "F32.1", "insulin 10mg", "A negative"),
        _named("diagnosis", "medication", "blood_type", "Diagnose", "allergies", "disease")
        + _named("diagnóstico", "диагноз", "病名", "health_condition"),
    ),
    "trait": (
        ("catholic", "female", "Green party", "German", "85000 EUR", "married"),
        _named("religion", "gender", "salary", "nationality", "marital_status", "political party")
        + _named("Religion", "Gehalt", "ethnicity", "income"),
    ),
    "seed": (
        ("abandon ability able about above", "ripple drum velvet oak", "zoo wrong vote wave"),
        _named("seed phrase", "recovery phrase", "mnemonic", "seedPhrase", "recovery_phrase"),
    ),
    "pem": (
        (
            *(
                "MIIEvQIBADANBgkqhkiG9w0BAQE",
                "b3BlbnNzaC1rZXktdjEAAAAABG5vbm",
                "MHcCAQEEIIrYSSNQFaA2Hwf1",
            ),
            "MC4CAQAwBQYDK2VwBCIEIJ",
        ),
        ("BEGIN PRIVATE KEY----- ~", "key ~", "PRIVATE KEY ~", "~", "pem=~", "ssh key: ~"),
    ),
    "in other names": (
        ("hunter2x", "48-39-20", "Xy77-plum", "plum42"),
        _named("userPin", "otp_code", "session_id", "csrf_token", "jwt", "webhook secret", "token")
        + _named("backup code", "PHPSESSID", "security_answer", "sessionToken", "credentials"),
    ),
}

_ALONE = (
    "~",
    "Open ~",
    "~ (new)",
    "Error in ~",
    '{"v":"~"}',
    "see ~.",
    "/p/~",
    "v=~",
    "~, ok",
    "das ~",
)

HARMLESS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "order": (
        (
            "1002934857",
            "4029357733",
            "114-3941689-8772232",
            "20260301-0042",
            "8847362910",
            "302918475",
        ),
        (
            *(
                "Order #~",
                "order ~ placed",
                "order_id=~",
                "Bestellung ~",
                "Commande n° ~",
                "/orders/~",
            ),
            *(
                "Pedido ~",
                "Ordine n. ~",
                "order number: ~",
                "注文番号：~",
                "Заказ № ~",
                "Invoice ~",
            ),
            *("Ticket ~ closed", "Rechnung Nr. ~", '{"order_id":"~"}', "Order No. ~", "invoice-~"),
        ),
    ),
    "order with letters": (
        (
            *(
                "INV-2026-0042",
                "SO-2024-000123",
                "ORD-20260301-0042",
                "PO-4500012345",
                "RMA-00012345",
            ),
            *("CASE-00001234", "REF-123456789", "JIRA-10234", "INC0012345", "#1002934"),
        ),
        _ALONE,
    ),
    "isbn": (
        (
            *(
                "9783161484100",
                "978-3-16-148410-0",
                "0-306-40615-2",
                "978 0 13 468599 1",
                "0306406152",
            ),
            "979-10-90636-07-1",
        ),
        ("ISBN ~", "isbn=~", "ISBN: ~", "ISBN-13: ~", "/books/isbn/~", "book (ISBN ~)"),
    ),
    "isbn by itself": (
        ("9783161484100", "978-3-16-148410-0", "9780134685991", "979-10-90636-07-1"),
        _ALONE,
    ),
    "ean": (
        ("4006381333931", "5901234123457", "036000291452", "96385074", "8710398606747"),
        (
            "EAN ~",
            "GTIN: ~",
            "ean=~",
            "barcode ~",
            "UPC ~",
            "/product/~",
            "sku=~",
            "Artikel ~",
            "gtin-~",
        ),
    ),
    "ean by itself": (("4006381333931", "5901234123457", "8710398606747"), _ALONE[:6]),
    "tracking": (
        (
            *("1Z999AA10123456784", "RR123456785DE", "9400100000000000000000", "771234567890"),
            *("JD014600003828392847", "00340434161094042557", "LX123456785CN"),
        ),
        (
            *("Tracking ~", "tracking number: ~", "tracking_number=~", "Parcel ~ shipped"),
            *("/track/~", "Sendungsnummer ~", "Shipment ~", "Colis ~", "package ~ delivered"),
        ),
    ),
    "time": (
        (
            *("1700000000", "1767225600", "1700000000000", "1767225600123", "1700000000.123"),
            *("1700000000123456", "20260301123045", "20260301T123045Z", "1700000000123456789"),
        ),
        _ALONE,
    ),
    "date": (
        (
            *("2026-03-01", "01.03.2026 14:30", "3/1/2026", "2026-03-01T12:30:45.123Z", "12:30:45"),
            *("2026-03-01/2026-03-05", "20260301", "Mar 1, 2026", "2026-03-01 12:30:45.123456"),
            *("12/31/2026 - 01/02/2027", "2026-11-29T02:17:53+00:00", "Q3 2026"),
        ),
        _ALONE,
    ),
    "decimal": (
        (
            *(
                "3.14159265",
                "0.123456789",
                "2.718281828",
                "1.4142135623",
                "99.99999999",
                "6.02214076e23",
            ),
            *("0.30000000000000004", "-0.0001234567", "1234.567890123"),
        ),
        _ALONE,
    ),
    "price": (
        (
            *("$19.99", "1,299.00 €", "€1,234,567.89", "199.99 - 299.99", "EUR 1299.00-1499.00"),
            *("1.234.567,89 €", "¥1,234,567", "£12,345,678", "CHF 1'234'567.00", "1 234 567 890 €"),
        ),
        _ALONE,
    ),
    "version": (
        (
            *(
                "1.2.3",
                "v1.2.3.4",
                "120.0.6099.129",
                "10.0.19045.3803",
                "4.18.2-beta.1",
                "6.5.0-1017-aws",
            ),
            *(
                "Chrome/120.0.0.0",
                "1.2.3-beta.4",
                "jquery-3.7.1.min.js",
                "2024.1.20240315",
                "17.0.1+12",
            ),
            *("Version 10.12.0.1", "Firefox 115.0.2.1", "build 20240315001"),
        ),
        _ALONE,
    ),
    "size": (
        (
            *(
                "1920x1080",
                "300 x 200 x 150 mm",
                "500-1000 m²",
                "100-2000",
                "1 2 3 4 5 6 7 8",
                "50/50",
            ),
            *("2560x1440@144Hz", "12,345,678 views", "1,234,567,890 bytes", "0.5-1.5 kg", "10:1"),
        ),
        _ALONE,
    ),
    "product": (
        (
            *(
                "WH1000XM5",
                "RTX4070TI12GB",
                "B08N5WRWNW",
                "SM-G998B",
                "Galaxy S24 Ultra",
                "MQ9U3ZM/A",
            ),
            *(
                "iphone-15-pro-max-256gb",
                "SKU-12345678",
                "XL-BLK-42",
                "ISO 9001:2015",
                "UK14",
                "i7-13700K",
            ),
            *(
                "sony-wh1000xm5-black",
                "A4 80g/m²",
                "DDR5-6000",
                "H2O2 3%",
                "COVID-19",
                "Boeing 737-800",
            ),
        ),
        _ALONE,
    ),
    "class of a page": (
        (
            *(
                "css-1dbjc4n",
                "sc-bdVaJa",
                "MuiButton-root",
                "btn--primary",
                "jss1234",
                "_ngcontent-abc-c12",
            ),
            *(
                "AddToCartButtonComponent",
                "WebGLRenderingContext",
                "useEffectOnce",
                "XMLHttpRequest",
            ),
            *(
                "HTMLIFrameElement",
                "md:hover:bg-blue-500",
                "data-testid",
                "onABTestIdChange",
                "iOSAppURL",
            ),
            *(
                "ng-tns-c12-3",
                "el-button__inner",
                "NullPointerException",
                "IllegalArgumentException",
            ),
        ),
        _ALONE,
    ),
    "commit": (
        ("7f3a9b2", "caf9389", "79e4adc", "deadbee", "42501d0"),
        ("commit ~", "~", "build ~", "at ~", "sha ~", "app@~", "rev ~", "deploy ~"),
    ),
    "word": (
        (
            *("Donaudampfschifffahrtsgesellschaft", "kraftfahrzeughaftpflichtversicherung"),
            *(
                "Rechtsschutzversicherung",
                "internationalization",
                "ACKNOWLEDGEMENTS",
                "Angstschweiß",
            ),
            *("antidisestablishmentarianism", "summer-sale-2026", "user_profile_settings_page"),
            *(
                "日本語のテキスト",
                "Подтверждение",
                "Straßenverkehrsordnung",
                "Gesellschaftsvertrag",
            ),
            *("checkout_step_2_viewed", "how-to-write-sql-queries", "très-bien", "ร้านค้าออนไลน์"),
        ),
        _ALONE,
    ),
    "path": (
        (
            *("/reset-password/success", "/auth/callback", "/verify/email/sent", "/invite/accept"),
            *(
                "/confirm/subscription",
                "/activate/confirmation",
                "/share/facebook",
                "/login/forgot",
            ),
            *(
                "/blog/2026/11/27/hello-world",
                "/unsubscribe/preferences",
                "/users/8231/edit",
                "/a/b/c/d",
            ),
            *(
                "/account/recover/instructions",
                "/password/requirements",
                "/#/settings",
                "/docs#install",
            ),
            *(
                "/verify/identification",
                "/invite/colleagues",
                "/tokens/documentation",
                "/de/anmelden",
            ),
        ),
        ("~", "Viewed ~", "on ~ twice", "https://a.example~"),
    ),
    "sentence": (
        (
            *(
                "Forgot password?",
                "Password must have 8 characters",
                "Passwords: at least 8 characters",
            ),
            *(
                "Password: required",
                "Enter your PIN",
                "Token expired",
                "bearer of bad news",
                "Basic plan",
            ),
            *(
                "Set a new password",
                "Your password is too short",
                "Password is incorrect",
                "Sign in",
            ),
            *("2 cookies left", "Cookie settings", "Accept all cookies", "Email us", "Call now"),
            *("Meet at 10 dot com", "Session expired", "Use code SAVE20", "Promo code: WINTER24"),
            *(
                "Error code 500123",
                "Born in the USA",
                "See you at noon",
                "Look at this dot",
                "3 of 12",
            ),
            *(
                "Reset your password: step 2 of 3",
                "Passport photos from 9.99",
                "Card: Visa",
                "PIN code help",
            ),
            *(
                "Address book",
                "Email address: invalid",
                "Pinned items: 3",
                "Token limit: 4096 per day",
            ),
            *(
                "Gender: all",
                "Street style 2026",
                "Zip file 12 MB",
                "Phone: Nokia 3310",
                "user (at) home",
            ),
            *(
                "You are at the top",
                "Add to cart",
                "Pay 12.50 € now",
                "Version: 4",
                "Time: 12:30",
                "Tom & Jerry",
            ),
            *(
                "Code: JavaScript",
                "Basic authentication",
                "Secret Santa 2026",
                "Account: Premium plan",
            ),
            *(
                "Follow @nike",
                "icon@2x.png",
                "lodash@4.17.21",
                "Ready? Go",
                "Q&A",
                "size=XL",
                "C# and F#",
            ),
        ),
        ("~",),
    ),
    "property": (
        (
            *(
                "tokens_used=4096",
                "is_mobile=true",
                "session_count=12",
                "cookie_consent=all",
                "sku=12345678",
            ),
            *("max_tokens=8192", "email_opened=yes", "password_length=12", "has_password=true"),
            *(
                "card_type=visa",
                "zip_file=a.zip",
                "shipping=express",
                "pin_count=7",
                "author=staff",
            ),
            *(
                "page_number=12",
                "order_number=4029357733",
                "auth_method=sso",
                "product_id=1002934857",
            ),
            *("tokens_used: 4096", '"is_mobile":true', "session_count: 12", "cookie_consent: all"),
            *("token_count: 1200", "card_position: 3", "email_verified: true", "address_count: 2"),
            *(
                "phone_verified: false",
                "user_count: 1200",
                "mobile_app: yes",
                "session_length: 320",
            ),
            *("isbn=9783161484100", "tracking_number: 1Z999AA10123456784", "ean: 4006381333931"),
            *("timestamp=1700000000000", "build=20240315001", "name=Winter Sale", "plan: pro"),
        ),
        ("~", "saved (~)", "x: 1, ~"),
    ),
}


_TEXTS = Path(__file__).with_name("private_texts.tsv")


def written() -> Iterator[Sample]:
    """Whole texts; of the secret, the piece that must not be left."""
    for line in _TEXTS.read_text(encoding="utf-8").splitlines():
        if "\t" in line:
            text, secret = line.split("\t")
            yield Sample("written", text, secret, is_held=False)


def samples() -> Iterator[Sample]:
    """All forms in their places, the same in each run."""
    for kinds, is_private in ((PRIVATE, True), (HARMLESS, False)):
        for kind, (forms, places) in kinds.items():
            for number, form in enumerate(forms):
                fitting = [one.replace("~", form) for one in places]
                fitting = [one for one in fitting if len(one) <= LONGEST]
                # Each form in some of the places, all places among the forms.
                start = number * _PLACES_OF_A_FORM
                chosen = dict.fromkeys(
                    fitting[(start + at) % len(fitting)] for at in range(_PLACES_OF_A_FORM)
                )
                is_held = blake2b(f"{kind} {form}".encode()).digest()[0] % 3 == 0
                for text in chosen:
                    yield Sample(kind, text, form if is_private else "", is_held)


def is_right(sample: Sample, masked: str) -> bool:
    """Whether nothing of the secret is left; of a harmless text, whether it is as it was."""
    if not sample.secret:
        return masked == sample.text
    if sample.kind == "written":
        return sample.secret not in masked
    secret, left = _squeezed(sample.secret), _squeezed(masked)
    around = _squeezed(sample.text.replace(sample.secret, " "))
    size = min(len(secret), 5)
    pieces = {secret[at : at + size] for at in range(len(secret) - size + 1)}
    return not any(piece in left for piece in pieces if piece not in around)


def _squeezed(text: str) -> str:
    return re.sub(r"[\W_]", "", text).casefold()


class Score(NamedTuple):
    """How much of the private texts is masked, and of the harmless ones too."""

    masked: float
    over_masked: float
    wrong: list[tuple[Sample, str]]


def score(mask: Callable[[str], str], chosen: Iterable[Sample]) -> Score:
    """The score of a function that masks a text."""
    of_set = [(one, mask(one.text)) for one in chosen]
    wrong = [(one, masked) for one, masked in of_set if not is_right(one, masked)]
    private = sum(bool(one.secret) for one, _ in of_set)
    missed = sum(bool(one.secret) for one, _ in wrong)
    return Score(
        masked=1 - missed / private,
        over_masked=(len(wrong) - missed) / (len(of_set) - private),
        wrong=wrong,
    )
