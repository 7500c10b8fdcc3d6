"""Common English words by what they do in a sentence, and the shapes of sentences that are made of them."""

from __future__ import annotations


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _phrases(text: str) -> tuple[str, ...]:
    return tuple(" ".join(part.split()) for part in text.split("|"))


# Plain lists of everyday words, written for this file: what people say at home, at work and on the way.
_NOUNS = _words("""
apple arm baby back bag ball bank bath bed bell bird boat body book bottle bowl box boy bread bridge brother bus
butter cake camera car card carpet cat chair cheese chicken child church circle city class clock cloud coat coffee
colour computer cook corner cousin cow cup dance daughter day dentist desk dinner doctor dog door dream dress driver
ear egg engine evening eye face factory family farm father field film finger fire fish floor flower food foot forest
fork friend fruit game garage garden gate gift girl glass goat grandmother grass green hair hall hammer hand harbour
harvest hat head heart hill holiday home horse hospital hotel hour house husband idea island jacket jar job journey
juice kettle key king kitchen knife ladder lady lake lamp language leaf leg lemon lesson letter library light lion
list lunch machine magazine mail man map market meal meat medicine meeting message milk minute mirror money monkey
month moon morning mother mountain mouse mouth museum music nail name neighbour nephew newspaper night nose number
nurse ocean office onion orange oven page painting paper parent park parrot party passenger path pen pencil people
pepper person phone photo piano picture piece pilot pillow place plane plant plate player pocket police pool potato
president price prize problem queen question radio rain reason record report rice ring river road roof room rope rose
sailor salad salt sandwich school sea season seat secret service shadow sheep ship shirt shoe shop shoulder sister
skirt sky snow soap sock soldier son song soup spoon sport station stone store storm story street student sugar suit
summer sun supper surface table tailor taxi tea teacher team telephone television thing ticket tiger time tomato tooth
towel town toy train travel tree trip truck uncle university valley vegetable village visitor voice walk wall watch
water weather wedding week wheel whistle wife window wine winter woman wood word worker world writer yard year zebra
zoo
""")
_VERBS = _words("""
answers asks believes borrows breaks brings builds burns buys calls carries catches changes checks chooses cleans
climbs closes collects cooks copies counts covers crosses cuts draws drinks drives drops eats enjoys explains fills
finds finishes fixes follows forgets gets gives grows hates hears helps hides holds hopes kicks knows learns leaves
likes loses loves makes measures meets mentions mixes moves needs notices offers opens orders paints passes pays
phones picks plans plants plays pulls pushes puts reads remembers repairs sees sells sends serves shakes shares shows
shuts sings smells sorts spends starts steals stops studies takes teaches tells thinks throws touches tries turns uses
visits wants washes watches wears wins wishes writes
""")
_INFINITIVES = _words("""
answer arrive ask begin believe borrow break bring build buy call carry catch change check choose clean climb close
come cook count cover cross cut dance describe draw drink drive drop eat enjoy explain fall fill find finish fix
follow forget get give go grow happen hear help hide hold hurry invite join jump keep know laugh learn leave lend
listen live look lose love make measure meet mend miss move need open order pack paint park pay play practise promise
pull push put read remember repair rest return ride ring run save search sell send serve shout show shut sing sit
sleep smile speak spend stand start stay stop study swim take talk teach tell think throw touch travel try turn
understand use visit wait walk want wash watch wear win wish work worry write
""")
_ADJECTIVES = _words("""
angry bad beautiful big black blue bright broken brown busy careful cheap clean clever cold cool crazy dangerous dark
dear different difficult dirty dry early easy empty expensive famous fast fat final fine first foreign free fresh
friendly full funny gentle glad golden good great grey happy hard heavy high hot huge hungry important interesting
kind large last late lazy light little local long loud lovely lucky married modern narrow nervous new next nice noisy
old open orange ordinary perfect pink plain polite poor possible pretty proud quick quiet ready real red rich right
round sad safe same second secret serious several sharp short silver simple slow small smart soft special square
strange strong sudden sweet tall terrible thick thin tired true ugly useful usual warm wet white whole wide wild
wonderful wrong yellow young
""")
_ADVERBS = _words("""
again almost already always anyway away badly carefully certainly clearly early easily exactly finally happily hardly
here immediately later loudly maybe mostly nearly never now often once only outside perhaps probably quickly quietly
really seldom slowly sometimes soon still suddenly there today together tomorrow tonight twice upstairs usually well
yesterday
""")
_PLACES = _phrases("""
above the door|across the street|after lunch|around the corner|at home|at night|at the station|before dinner|behind the
house|between the trees|by the river|for an hour|for the children|from the market|in a minute|in her room|in London|in
the garden|in the kitchen|in the morning|in winter|near the window|next to the bank|on a Sunday|on Monday|on the left|on
the table|on the radio|over the bridge|since April|through the forest|to the airport|to school|under the bed|until
midnight|up the hill|with a friend|with both hands|without a word|last year|next week|every Friday|all afternoon
""")
_NAMES = _words("""
Adam Alice Amy Andrew Anna Barbara Ben Carol Charles Chris Daniel David Diana Edward Ellen Emma Eric Eva Frank George
Hannah Harry Helen Henry Ian Jack James Jane Jennifer Jessica John Julia Karen Kevin Laura Linda Lisa Lucy Maria Mark
Martin Mary Michael Nancy Nick Olivia Oscar Patrick Paul Peter Rachel Richard Robert Rose Sam Sarah Simon Sophie
Steven Susan Thomas Tim Travis Victor Walter William
""")
_PRONOUNS = _words("I you we they")
_DETERMINERS = _words("the a my your his her our their this that some every another one no")
_MODALS = _words("can could will would should must might")
_QUESTIONS = _words("what when where why how who")
_NUMBERS = _words("""
zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand
""")
_JOINS = _words("and but because so while before after although when if or")
_FILLERS = ("okay", "well", "oh", "yes", "no", "please", "sorry", "thanks", "you know", "I mean", "right", "listen")

# What a letter of a shape stands for.
KINDS: dict[str, tuple[str, ...]] = {
    "N": _NOUNS,
    "V": _VERBS,
    "I": _INFINITIVES,
    "A": _ADJECTIVES,
    "R": _ADVERBS,
    "P": _PLACES,
    "M": _NAMES,
    "Y": _PRONOUNS,
    "D": _DETERMINERS,
    "X": _MODALS,
    "Q": _QUESTIONS,
    "#": _NUMBERS,
    "J": _JOINS,
    "F": _FILLERS,
}
# W is a pseudo-word; what is no key of KINDS is said as it stands.
SHAPES = (
    "D A N V D N P .",
    "M V D N R .",
    "Y X I D A N P .",
    "Q X Y I D N ?",
    "X Y I P ?",
    "F , Y X R I D N .",
    "D N of D N V D W .",
    "M and M X I P J Y I D A N .",
    "I D N P .",
    "F , I D A N and D N .",
    "# # # , # .",
    "Y I # N P .",
    "D W N V M R .",
    "R D N is A , J it is A .",
    "W , W and W .",
    "Q is D A N ?",
    "A .",
    "N .",
    "F .",
    "M .",
    "D N V R J D N V P .",
    "Y X not I D N because D N is R A .",
    "M W V D N to M .",
    "it is # # P .",
    "there is D A W P , F .",
    "F F , Y I R .",
)
# Onsets, nuclei and codas as English spells them: what pseudo-words are put together from.
ONSETS = _words("""
b bl br c ch cl cr d dr f fl fr g gl gr h j k l m n p pl pr qu r s sc sh sk sl sm sn sp st str sw t th tr tw v w y z
""")
NUCLEI = _words("a e i o u a e i o u ai ar ea ee er ie oa oi oo or ou ow")
CODAS = _words("b ck d f g k l lt m mp n nd ng nk nt p r rd rk rm rn s sh sk ss st t th v x z")


def words() -> tuple[str, ...]:
    """Every single word of the lists, each once, in their order."""
    return tuple(dict.fromkeys(word for kind in KINDS.values() for word in kind if " " not in word))
