"""The phrases and people of generated conversations, in nine languages.

Placeholders: `{first}` the customer's first name, `{order}` an order number, `{day}` a date, `{city}`, `{n}` a number.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Pool:
    """The phrases of one language. `exchanges`: question and answer. `lookups`: question, lead-in and outcome."""

    language: str
    share: int
    names: tuple[str, ...]
    cities: tuple[str, ...]
    prefix: str
    greeting: str
    system: str
    exchanges: tuple[tuple[str, str], ...]
    lookups: tuple[tuple[str, str, str], ...]
    closing: tuple[str, str]
    again: str


ENGLISH: Final = Pool(
    language="en",
    share=52,
    names=(
        "Ava Thompson",
        "Liam O'Neill",
        "Noah Patel",
        "Mia Johnson",
        "Ethan Brooks",
        "Zoë Carter",
        "Priya Raman",
    ),
    cities=("Austin", "Leeds", "Toronto", "San José", "Dublin"),
    prefix="+1415555",
    greeting="Hi {first}! 👋 Thanks for getting in touch with Northwind Home. I can help with orders, deliveries, returns and appointments. What can I do for you today?",
    system="You are Riley, the friendly assistant of Northwind Home. Today is {day}. You are speaking with {first} from {city}. Be brief, confirm names and order numbers before you act, never invent a delivery date, and hand over to a person when the customer asks for one or becomes upset.",
    exchanges=(
        (
            "Hi, I'd like to move my delivery to another day if that's still possible.",
            "Of course, {first}. Which day would suit you better? We deliver to {city} from Monday to Saturday, between 8 in the morning and 8 in the evening, and I can hold a two-hour slot for you while we talk.",
        ),
        (
            "{day} would be great, in the afternoon please.",
            "Thank you. I have {day} between 2 and 4 in the afternoon, or between 4 and 6. Both are still free at the moment. Which one shall I reserve?",
        ),
        (
            "The earlier one. Also, can the driver call me about 20 minutes before?",
            "Done: the earlier slot is yours, and I have added a note that the driver should call {n} minutes before arrival. You will receive a text message with a link where you can follow the van on the map.",
        ),
        ("ok thx", "You're welcome! 😊"),
        (
            "Do I have to be at home, or can you leave it with a neighbour?",
            "For items above thirty kilos somebody has to sign, because two people carry them in. It does not have to be you: any adult at the address will do, and a neighbour is fine if you give me their name and house number.",
        ),
        (
            "The lamp arrived but the glass is cracked. I'm pretty annoyed, it was a present.",
            "I'm really sorry about that, {first}, especially with it being a present. I can send a replacement today at no cost, or refund the full amount of ${n}.00 to the card that you paid with. You don't need to return the broken one; a photo is enough.",
        ),
        (
            "Replacement please. I'll send the photo in a minute.",
            "Perfect. As soon as the photo is here I'll confirm the replacement. It usually leaves our warehouse within 24 hours, and delivery to {city} takes two working days.",
        ),
        (
            "How long do I have to return something?",
            "You have 30 days from the day of delivery. The item should be unused and, if possible, in its original box. Sale items can be exchanged, but not refunded, unless they are faulty.",
        ),
        (
            "What does that cost?",
            "Returns are free when you bring the parcel to one of our stores. If we pick it up from your home there is a fee of ${n}.90, which we take off the refund.",
        ),
        (
            "I think I was charged twice.",
            "Let me look at that with you. I see two authorisations on the same day, but only one of them was captured. The other is a reservation by your bank and disappears by itself, usually after three to five working days. If it is still there on {day}, write to us and we will chase it.",
        ),
        (
            "Can I speak to a real person?",
            "Certainly. Our team is available from 9 to 18 h, Monday to Friday. I can put you through now, the waiting time is about {n} minutes, or arrange a call-back at a time that suits you better. What would you prefer?",
        ),
        (
            "Call back tomorrow morning works.",
            "I have booked a call-back for tomorrow between 9 and 10 on the number that you are writing from. A colleague will have this whole conversation in front of them, so you won't need to explain it again.",
        ),
    ),
    lookups=(
        (
            "Where is my order {order}?",
            "Let me check order {order} for you, one moment please.",
            "Good news, {first}: order {order} left our warehouse and is on its way to {city}. It should be with you on {day}.",
        ),
        (
            "Do you have anything free on {day}?",
            "I'll look into the calendar.",
            "Yes: on {day} there are {n} appointments free. The first is at 9:30, the last at 16:45. Which one would you like?",
        ),
        (
            "Please cancel {order}, I ordered the wrong colour.",
            "I'll cancel order {order} before it gets packed.",
            "Order {order} is cancelled. The refund of ${n}.00 will be on your card within five working days.",
        ),
    ),
    closing=("No, that's all. Thank you so much!", "My pleasure, {first}. Have a lovely day! 🌞"),
    again="Hello again, it's {first}. I was in touch about {order} a while ago, there is one more thing.",
)

_OTHERS: Final = (
    Pool(
        language="es",
        share=14,
        names=("Lucía Fernández", "Mateo García", "Sofía Núñez", "Íñigo Ibáñez"),
        cities=("Sevilla", "Ciudad de México", "Bogotá", "Málaga"),
        prefix="+3461155",
        greeting="¡Hola, {first}! Gracias por escribir a Northwind Home. ¿En qué te puedo ayudar hoy?",
        system="Eres Riley, asistente de Northwind Home. Hoy es {day}. Hablas con {first}, de {city}. Responde en español, con frases cortas, y confirma siempre el número de pedido antes de hacer cambios.",
        exchanges=(
            (
                "Buenas, ¿puedo cambiar la dirección de entrega? Me mudé a {city}.",
                "Claro que sí, {first}. Necesito la nueva calle, el número y el código postal. Si el pedido todavía no ha salido del almacén, el cambio no cuesta nada.",
            ),
            (
                "¿Y cuánto tarda?",
                "Normalmente dos o tres días laborables. A {city} llegamos de lunes a sábado, entre las 9 y las 20 horas, y te avisamos por mensaje {n} minutos antes.",
            ),
            (
                "Me cobraron dos veces, ¿por qué?",
                "Lo siento mucho. Veo dos reservas, pero solo se cobró una; la otra la libera tu banco en tres a cinco días laborables. Si el {day} sigue ahí, escríbenos y lo reclamamos por ti.",
            ),
            ("vale, gracias", "¡A ti! ¿Hay algo más que pueda hacer por ti?"),
        ),
        lookups=(
            (
                "¿Dónde está mi pedido {order}?",
                "Un momento, lo compruebo.",
                "Tu pedido {order} está en camino a {city} y llegará el {day}. 🚚",
            ),
        ),
        closing=("Eso es todo, ¡muchas gracias!", "¡Un placer, {first}! Que tengas un buen día."),
        again="Hola otra vez, soy {first}. Es por el pedido {order} del otro día.",
    ),
    Pool(
        language="de",
        share=10,
        names=("Jürgen Müller", "Anneliese Groß", "Svenja Köhler", "Çağlar Yıldız"),
        cities=("Köln", "Zürich", "Österreichring", "Berlin"),
        prefix="+4915155",
        greeting="Guten Tag, {first}! Hier ist Riley von Northwind Home. Was kann ich für Sie tun?",
        system="Du bist Riley, der Assistent von Northwind Home. Heute ist der {day}. Du sprichst mit {first} aus {city}. Antworte auf Deutsch, sieze den Kunden und bestätige Bestellnummern.",
        exchanges=(
            (
                "Ich möchte meinen Termin verschieben, geht das noch?",
                "Selbstverständlich. Welcher Tag wäre Ihnen recht? Am {day} hätte ich vormittags noch {n} Zeiten frei, nachmittags leider nur noch eine um 16:30 Uhr.",
            ),
            (
                "Dann bitte vormittags. Muss jemand zu Hause sein?",
                "Ja, bei sperrigen Lieferungen muss jemand unterschreiben, denn zwei Personen tragen die Ware in die Wohnung. Es genügt aber jeder Erwachsene an der Adresse.",
            ),
            (
                "Die Lampe ist kaputt angekommen, das Glas hat einen Sprung.",
                "Das tut mir sehr leid. Ich schicke Ihnen gern sofort kostenlosen Ersatz nach {city}; die beschädigte Lampe brauchen Sie nicht zurückzusenden, ein Foto genügt.",
            ),
        ),
        lookups=(
            (
                "Wo bleibt meine Bestellung {order}?",
                "Einen Moment, ich sehe nach.",
                "Ihre Bestellung {order} ist unterwegs und kommt voraussichtlich am {day} in {city} an.",
            ),
        ),
        closing=("Das war alles, vielen Dank!", "Sehr gern, {first}. Einen schönen Tag noch!"),
        again="Guten Tag, noch einmal {first} wegen der Bestellung {order}.",
    ),
    Pool(
        language="fr",
        share=8,
        names=("Chloé Lefèvre", "Théo Durand", "Maëlle Brûlé"),
        cities=("Besançon", "Lyon", "Montréal"),
        prefix="+3361255",
        greeting="Bonjour {first} ! Ici Riley, de Northwind Home. Comment puis-je vous aider ?",
        system="Vous êtes Riley, l'assistant de Northwind Home. Nous sommes le {day}. Vous parlez avec {first}, de {city}. Répondez en français et vouvoyez le client.",
        exchanges=(
            (
                "Je n'ai pas reçu mon remboursement…",
                "Je comprends, {first}. Le remboursement de {n} € a été émis ; selon votre banque il apparaît sous trois à cinq jours ouvrés. S'il n'est pas là le {day}, recontactez-nous et j'ouvrirai une réclamation.",
            ),
            (
                "D'accord. Et pour échanger un article soldé ?",
                "Les articles soldés sont échangeables pendant trente jours, dans leur emballage d'origine, mais ne sont pas remboursés, sauf s'ils présentent un défaut.",
            ),
            (
                "Ça coûte combien, l'enlèvement à domicile ?",
                "L'enlèvement coûte {n},90 €. Le dépôt dans l'un de nos magasins de {city} est gratuit.",
            ),
        ),
        lookups=(
            (
                "Où en est ma commande {order} ?",
                "Je vérifie tout de suite.",
                "Votre commande {order} est partie pour {city} ; livraison prévue le {day}.",
            ),
        ),
        closing=("Parfait, merci beaucoup !", "Avec plaisir, {first}. Très bonne journée !"),
        again="Rebonjour, c'est {first}, au sujet de la commande {order}.",
    ),
    Pool(
        language="pt",
        share=5,
        names=("João Conceição", "Letícia Araújo"),
        cities=("São Paulo", "Lisboa"),
        prefix="+5511955",
        greeting="Olá, {first}! Aqui é a Riley, da Northwind Home. Como posso ajudar?",
        system="Você é Riley, assistente da Northwind Home. Hoje é {day}. Você fala com {first}, de {city}. Responda em português.",
        exchanges=(
            (
                "Oi, dá para adiantar a entrega?",
                "Posso tentar, {first}. Para {city} tenho {day}, das 8 às 12, ou no dia seguinte à tarde. Qual prefere?",
            ),
            (
                "De manhã. Quanto fica?",
                "A mudança de data é gratuita até 24 horas antes. Depois disso há uma taxa de R$ {n},00.",
            ),
        ),
        lookups=(
            (
                "Cadê o pedido {order}?",
                "Vou verificar, só um instante.",
                "O pedido {order} saiu para entrega e chega em {city} no dia {day}.",
            ),
        ),
        closing=("Só isso, obrigado!", "Imagina, {first}! Tenha um ótimo dia! 😄"),
        again="Oi, é {first} de novo, sobre o pedido {order}.",
    ),
    Pool(
        language="ja",
        share=4,
        names=("佐藤 美咲", "髙橋 健太"),
        cities=("東京", "大阪市"),
        prefix="+8190555",
        greeting="{first}様、ノースウィンド・ホームへお問い合わせいただきありがとうございます。本日はどのようなご用件でしょうか。",
        system="あなたはノースウィンド・ホームのアシスタント「ライリー」です。今日は{day}です。お客様は{city}の{first}様です。丁寧な日本語で簡潔に答えてください。",
        exchanges=(
            (
                "配達日を変更したいのですが。",
                "かしこまりました。{city}へのお届けは{day}の午前中、または午後二時から四時までの枠が空いております。どちらになさいますか。",
            ),
            (
                "午前でお願いします。",
                "承知いたしました。{day}の午前中で手配いたします。配達の{n}分前にドライバーからお電話いたします。",
            ),
        ),
        lookups=(
            (
                "注文番号{order}はどうなっていますか。",
                "確認いたしますので、少々お待ちください。",
                "ご注文{order}は発送済みで、{day}に{city}へ到着する予定です。",
            ),
        ),
        closing=("ありがとうございました。", "こちらこそ、{first}様。またのご利用をお待ちしております🙇"),
        again="先日、{order}の件で連絡した{first}です。",
    ),
    Pool(
        language="zh",
        share=3,
        names=("王小明", "陳怡君"),
        cities=("上海", "臺北"),
        prefix="+8613855",
        greeting="{first}您好!这里是北风家居客服,请问有什么可以帮您?",
        system="你是北风家居的助手莱利。今天是{day}。客户是来自{city}的{first}。请用中文简短回答,修改订单前先确认订单号。",
        exchanges=(
            (
                "我想退货,灯罩破了。",
                "非常抱歉给您带来不便。我们可以免费补发一件到{city},破损的灯不需要寄回,发一张照片给我们就可以了。",
            ),
            ("退款多久到账?", "一般三到五个工作日原路退回。如果{day}还没有收到{n}元退款,请再联系我们。"),
        ),
        lookups=(("订单{order}到哪里了?", "请稍等,我查一下。", "订单{order}已经发货,预计{day}送达{city}。"),),
        closing=("好的,谢谢!", "不客气,祝您生活愉快!🧧"),
        again="你好,我是{first},之前问过订单{order}。",
    ),
    Pool(
        language="ar",
        share=2,
        names=("ليلى حسن", "عمر الخطيب"),
        cities=("دبي", "القاهرة"),
        prefix="+9715055",
        greeting="مرحبًا {first}! شكرًا لتواصلك مع نورثويند هوم. كيف يمكنني مساعدتك اليوم؟",
        system="أنت رايلي، مساعد نورثويند هوم. اليوم هو {day}. تتحدث مع {first} من {city}. أجب بالعربية وباختصار.",
        exchanges=(
            (
                "أريد تغيير موعد التوصيل من فضلك.",
                "بالتأكيد يا {first}. لدينا موعد في {city} يوم {day} صباحًا أو بعد الظهر. أيهما تفضل؟",
            ),
            ("صباحًا، شكرًا.", "تم الحجز. سيتصل بك السائق قبل الوصول بـ {n} دقيقة."),
        ),
        lookups=(
            (
                "أين طلبي {order}؟",
                "لحظة من فضلك، سأتحقق.",
                "الطلب {order} في الطريق وسيصل إلى {city} يوم {day}.",
            ),
        ),
        closing=("هذا كل شيء، شكرًا جزيلًا!", "على الرحب والسعة يا {first} 🌷"),
        again="مرحبًا مجددًا، أنا {first} بخصوص الطلب {order}.",
    ),
    Pool(
        language="hi",
        share=2,
        names=("आरव शर्मा", "दीया वर्मा"),
        cities=("मुंबई", "जयपुर"),
        prefix="+9198115",
        greeting="नमस्ते {first}! नॉर्थविंड होम में आपका स्वागत है। मैं आपकी क्या मदद कर सकता हूँ?",
        system="आप नॉर्थविंड होम के सहायक रायली हैं। आज {day} है। ग्राहक {city} से {first} हैं। हिंदी में संक्षेप में उत्तर दें।",
        exchanges=(
            (
                "मुझे डिलीवरी की तारीख बदलनी है।",
                "ज़रूर {first} जी। {city} में {day} को सुबह या दोपहर में समय उपलब्ध है। आपको कौन सा ठीक रहेगा?",
            ),
            ("सुबह ठीक है।", "आपका समय तय हो गया है। ड्राइवर पहुँचने से {n} मिनट पहले फ़ोन करेगा।"),
        ),
        lookups=(
            (
                "मेरा ऑर्डर {order} कहाँ है?",
                "एक क्षण, मैं देखता हूँ।",
                "ऑर्डर {order} रास्ते में है और {day} को {city} पहुँचेगा।",
            ),
        ),
        closing=("बस इतना ही, धन्यवाद!", "आपका स्वागत है, {first} जी। शुभ दिन! 🪔"),
        again="नमस्ते, मैं {first}, ऑर्डर {order} के बारे में फिर से।",
    ),
)

POOLS: Final = (ENGLISH, *_OTHERS)

#: A text that makes messages long.
TERMS: Final = (
    "Delivery terms, section {n}: the carrier announces the arrival at least one hour before, by text message or by "
    "telephone; where nobody can be reached, a second attempt follows on the next working day, and after that the goods "
    "are kept for fourteen days. Damage is to be reported within 72 hours, with pictures of the goods and of the box. "
)

#: Unusual messages, as real ones: markup, control characters, a lone zero-width joiner, right-to-left marks, quotes.
CURIOSITIES: Final = (
    'He said "cancel it" \\o/ – so: <b>cancel</b> & refund; 100 % sure?\n\tThanks,\n\t{first}',
    "👩‍👩‍👧‍👦🏳️‍🌈 ok\u200d\u00a0\u202eabc\u202c",
    "'; DROP TABLE sessions; --",
    "{{{{firstName}}}} isn't filled in your message, is it?",
    "ﷺ Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A̴̵̜̰͔ͫ͗͢LGO",
    "line one\r\nline two\u2028line three",
)
