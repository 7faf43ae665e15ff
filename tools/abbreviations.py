"""Abbreviations that end in a period, and words that sentences begin with, for the languages that use periods so.

Lists for several languages stand in one set where they do not harm one another: no abbreviation here is a common word
of English, and single letters are judged by their neighbours (see :mod:`rereader.tools.sentences`).
"""

# ruff: noqa: RUF001 - Greek and Cyrillic letters are meant
from __future__ import annotations

_TITLES = """
mr mrs ms mm messrs mme mlle dr prof st ste sta rev hon pres gov gen col maj capt cmdr lt sgt cpl adm
hr hrn frl fr dipl mag mgr msgr sr sra srta srs dra dña dn lic ing dott sig sigg avv geom mons exmo exma profa
ks św inż płk kpt hab sn doç yrd öğr uzm δρ κ κα κος καθ αγ проф акад доц инж тов г-н г-жа св им डॉ श्री प्रो पं कु
"""
_LINKS = """
vs viz cf eg e.g i.e ie approx esp incl resp dna z.b d.h u.a bzw vgl ggf evtl inkl exkl zzgl bzgl sog p.ex c.-à-d av
p.ej ej aprox ee cfr np tzn tj tzw m.in ul al pl por wg bkz krş örn cad sok mah π.χ βλ δηλ λ.χ οδ λεωφ τηλ
ул пл пер просп наб обл ср напр т.е т.к т.н
"""
NEVER_LAST = frozenset(f"{_TITLES} {_LINKS}".split()) - {"al"}
"""Abbreviations that a sentence does not end with."""

_CITED = """
no nos nr p pp vol vols ch chap fig figs eq eqs sec sect art bk par tab ed op lib cap vv ll c ca
s abs bd abb kap ziff rn anm aufl pág págs pag núm séc sez rozdz godz poz ust rys str стр рис табл гл ст п пп с
σελ αρ κεφ εικ रु सं पृ
"""
_MONTHS = "jan feb mar apr jun jul aug sep sept oct nov dec"
BEFORE_NUMBER = frozenset(f"{_CITED} {_MONTHS}".split())
"""Abbreviations when a number follows."""

_SELDOM = """
inc ltd co corp jr bros etc al dept univ esq usw ecc itd itp vb ex es uu ud uds vd vds ltda mio mrd jh tys mln mld
r w г гг в вв см др пр руб коп тыс млн млрд кв д κλπ κ.λπ κ.ά κ.τ.λ μ.χ
"""
SELDOM_LAST = frozenset(_SELDOM.split())
"""Abbreviations that end a sentence only before a word that sentences begin with."""

_ENGLISH = """
the a an he she it we they you i but and so then this that these those in on at if when as there what who why how his
her its their our my your no yes not for with after before
"""
_OTHERS = """
ein eine er sie es wir ihr ich und aber doch dann da wenn als wie was wer wo warum nicht nach vor mit im am auf aus bei
für von dies diese dieser un une elle ils elles nous vous je et mais donc puis ce cette ces dans en pour par sur avec
sans quand si comme qui que où una él ella ellos yo pero con sin para cuando quien se su egli lei lui noi voi ma poi
nel per quando come che chi non um uma ele ela eles eu mas em com não
он она оно они мы вы я и но а в на с у к по из за от до это этот эта так там тут когда если как что кто где не его её их
после при для ona ono oni ja ale we z na do od to ten ta te tak tam gdy kiedy jeśli jak kto gdzie nie jego jej ich dla
bu şu bir ve ama fakat biz siz ben sen onlar sonra önce ne kim
ο η το οι τα ένας μία αυτός αυτή αυτό και αλλά δεν στο στη στον με για από όταν αν πως που εγώ εμείς
"""
_ARTICLES = "la le les el los las lo il gli der die das o os as e y i"
INITIAL_STARTERS = frozenset(f"{_ENGLISH} {_OTHERS}".split())
"""Words that show, after a single capital with a period, that a sentence began; no part of names (de, la, le)."""
STARTERS = INITIAL_STARTERS | frozenset(_ARTICLES.split())
"""Words that show, after any other abbreviation, that a sentence began."""

_CUES = "im der des dem den vom zum zur ab seit beim ins"
ORDINAL_CUES = frozenset(_CUES.split())
"""German words, none of them English, after which a number with a period is an ordinal."""
_GERMAN_MONTHS = "januar jänner februar märz april mai juni juli august september oktober november dezember"
GERMAN_MONTHS = frozenset(_GERMAN_MONTHS.split())
