"""The estimate of tokens, against a real tokenizer."""

import random
from functools import cache
from pathlib import Path
from statistics import median

import mistral_common
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mistral_common.tokens.tokenizers.tekken import Tekkenizer

from enrichment_pipeline.llm.forms import FORMS, Form
from enrichment_pipeline.llm.rendering import render
from enrichment_pipeline.llm.tokens import estimate_tokens
from enrichment_pipeline_tests.llm.made_sessions import (
    built,
    change,
    click,
    custom,
    submit,
    view,
)

WORDS = {
    "English": "Buy now|Add to cart|Sign up|Compare plans|Learn more about pricing|Unsubscribe",
    "German": "In den Warenkorb|Jetzt kaufen|Zahlungsmöglichkeiten|Datenschutzerklärung|Über uns",
    "Vietnamese": "Thêm vào giỏ hàng|Thanh toán|Đăng nhập|Xác nhận",
    "Greek": "Αγορά τώρα|Προσθήκη στο καλάθι|Σύνδεση|Συνέχεια",
    "Russian": "Купить сейчас|Добавить в корзину|Войти|Оформить заказ",
    "Arabic": "اشتر الآن|أضف إلى السلة|تسجيل الدخول|متابعة الدفع",
    "Hebrew": "קנה עכשיו|הוסף לעגלה|התחברות|המשך לתשלום",
    "Hindi": "अभी खरीदें|कार्ट में जोड़ें|जारी रखें|भुगतान",
    "Thai": "ซื้อเลย|เพิ่มลงในรถเข็น|เข้าสู่ระบบ|ชำระเงิน",
    "Amharic": "አሁን ይግዙ|ወደ ጋሪ ያክሉ|ይግቡ",
    "Georgian": "იყიდე ახლა|კალათაში დამატება|შესვლა",
    "Chinese": "立即购买|加入购物车|登录|结账|保存设置|退订",
    "Japanese": "今すぐ購入|カートに入れる|お支払い|設定を保存する",
    "Korean": "지금 구매|장바구니에 담기|계속하기|결제 설정",
    "emoji": "🛒 Buy|🎉🎉|👨‍👩‍👧‍👦|❤️|👍🏽|🏳️‍🌈|✅ Done|🚀🦩",
    "numbers": "4,99 €|1 234|2026-03-02|48 × 36 cm|7/10",
}


@cache
def tokenizer() -> Tekkenizer:
    return Tekkenizer.from_file(
        str(Path(mistral_common.__file__).parent / "data/tekken_240911.json")
    )


def tokens(text: str) -> int:
    return len(tokenizer().encode(text, bos=False, eos=False))


def ratios(language: str, form: Form) -> list[float]:
    """Of sessions in a language: the estimate by what it is."""
    rng = random.Random(language)
    words = WORDS[language].split("|")
    found = []
    for _ in range(25):
        at, page, events = 0.0, "/", []
        for _ in range(rng.randrange(1, 60)):
            at += rng.choice([0.4, 3, 20, 90])
            label = rng.choice(words)
            if rng.random() < 0.3:
                page = "/" + "/".join(rng.choices(words, k=rng.randrange(3))).lower()
                events.append(view(at, page))
            else:
                detail = f'name="{label}", price={rng.randrange(9999) / 100:g}'
                done = [
                    click(at, label, page),
                    change(at, page, f'field "{label}"'),
                    custom(at, label, page, detail),
                    submit(at, page),
                ]
                events.append(rng.choice(done))
        written = render(built(*events, view(at)), form)
        found.append(estimate_tokens(written) / tokens(written))
    return found


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("language", WORDS)
@pytest.mark.slow
def test_the_estimate_is_never_below_what_a_timeline_has(language: str, form: Form) -> None:
    assert min(ratios(language, form)) >= 1


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.slow
def test_the_estimate_of_english_is_not_twice_what_a_timeline_has(form: Form) -> None:
    found = ratios("English", form)
    assert max(found) < 1.8
    assert median(found) < 1.6


@pytest.mark.parametrize(
    "text", ["1 2 3 4 5 6 7", "0 view\n14 idle 3m\n", "click 1 click 2 click 3"]
)
def test_the_space_before_a_number_is_counted(text: str) -> None:
    assert estimate_tokens(text) >= tokens(text)


def test_labels_of_letters_at_random_are_estimated_nearly_right() -> None:
    rng = random.Random(1)
    labels = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=9)) for _ in range(40)]
    written = render(built(view(0), *[click(at, label) for at, label in enumerate(labels)]))
    assert estimate_tokens(written) >= 0.9 * tokens(written)


@given(st.text())
def test_the_estimate_is_between_nothing_and_the_bytes(text: str) -> None:
    text = text.encode(errors="replace").decode()
    assert 0 <= estimate_tokens(text) <= len(text.encode())


@given(st.text(), st.text())
def test_a_longer_text_is_not_estimated_at_less(one: str, other: str) -> None:
    assert estimate_tokens(one + "\n" + other) >= max(estimate_tokens(one), estimate_tokens(other))
