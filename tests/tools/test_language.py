# ruff: noqa: E501, RUF001 - one text a line; Cyrillic and Greek letters are what is tested
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rereader.tools.language import SAMPLE, language_of, sample_places

PROSE = {
    "en": "The old man walked to the harbour and looked at the ships that had come in from the sea during the night.",
    "de": "Der alte Mann ging zum Hafen und sah die Schiffe an, die in der Nacht vom Meer gekommen waren, und er war nicht froh.",
    "fr": "Le vieil homme marcha vers le port et regarda les bateaux qui étaient venus de la mer pendant la nuit, avec une lampe.",
    "es": "El viejo caminó hasta el puerto y miró los barcos que habían llegado del mar por la noche, pero no dijo nada a los hombres.",
    "it": "Il vecchio andò al porto e guardò le navi che erano arrivate dal mare nella notte, ma non disse niente alla gente che era lì.",
    "pt": "O velho foi ao porto e olhou os navios que não tinham vindo do mar com a noite, mas ele não disse nada para os homens.",
    "nl": "De oude man liep naar de haven en keek naar de schepen die in de nacht van zee waren gekomen, maar hij was niet blij.",
    "pl": "Stary człowiek poszedł do portu i patrzył na statki, które w nocy przypłynęły z morza, ale nie powiedział nic, bo był sam.",
    "tr": "Yaşlı adam limana gitti ve gece denizden gelen gemilere baktı ama çok mutlu değil gibi bir hali var, o da sonra eve döndü.",
    "sv": "Den gamle mannen gick till hamnen och såg på skeppen som hade kommit från havet på natten, men han var inte glad och det var kallt.",
    "ru": "Старик пошёл в гавань и смотрел на корабли, которые ночью пришли с моря, но он не был рад, и так всё было тихо.",
    "uk": "Старий пішов до гавані і дивився на кораблі, що вночі прийшли з моря, але він не був радий, і все було тихо.",
    "el": "Ο γέρος πήγε στο λιμάνι και κοίταξε τα πλοία που είχαν έρθει τη νύχτα.",
    "ar": "ذهب الرجل العجوز إلى الميناء ونظر إلى السفن التي جاءت من البحر في الليل، لكن لم يكن سعيدا في هذا اليوم.",
    "fa": "پیرمرد به بندر رفت و به کشتی‌هایی که در شب از دریا آمده بودند نگاه کرد و با خود گفت که این برای او خوب است.",
    "he": "הזקן הלך אל הנמל והביט באוניות שבאו מן הים בלילה.",
    "hi": "बूढ़ा आदमी बंदरगाह गया और रात में समुद्र से आए जहाजों को देखा।",
    "zh": "老人走到港口，看着夜里从海上来的船。他没有说话，只是站在那里。",
    "ja": "老人は港へ行き、夜のうちに海から来た船を見た。彼は何も言わなかった。",
    "ko": "노인은 항구로 가서 밤에 바다에서 온 배들을 보았다. 그는 말이 없었다.",
    "th": "ชายชราเดินไปที่ท่าเรือและมองดูเรือที่มาจากทะเลในตอนกลางคืน",
}


@pytest.mark.parametrize("language", PROSE)
def test_a_sentence_or_two_are_enough(language):
    assert language_of(PROSE[language]) == language


@pytest.mark.parametrize(
    "text",
    [
        "",
        "12 34 56",
        "Berlin, Paris, Rome",
        "x1,Anna,7\nx2,Boris,9\n" * 99,
        "def f(x):\n    return x + 1\n" * 50,
        "\u0301" * 99,
    ],
)
def test_nothing_is_said_of_what_is_no_prose(text):
    assert language_of(text) == ""


def test_a_foreign_quotation_does_not_change_the_language():
    assert language_of(PROSE["en"] * 4 + PROSE["de"] + PROSE["ru"]) == "en"


@given(st.text())
def test_any_text_has_an_answer(text):
    assert len(language_of(text)) in (0, 2)


@given(st.integers(0, 10**9))
def test_samples_lie_in_the_text_and_are_few(length):
    places = sample_places(length)
    assert all(0 <= start <= end <= length for start, end in places)
    assert sum(end - start for start, end in places) <= 8 * SAMPLE
    assert places[0][0] == 0 and length - places[-1][1] < 8


def test_samples_of_a_long_text_take_milliseconds():
    started = time.process_time()
    language_of(PROSE["en"] * 150)
    assert time.process_time() - started < 1.0
