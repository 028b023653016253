package message

import (
	"math/bits"
	"slices"
	"strings"
)

// headerWords is a set of fields.
type headerWords uint8

const (
	fromWord headerWords = 1 << iota
	dateWord
	toWord
	ccWord
	subjectWord
)

func (w headerWords) count() int { return bits.OnesCount8(uint8(w)) }

// headerWord tells which field of a mail's header a line is, if it is one, in the
// languages programs write it in.
func headerWord(line string) headerWords {
	line = strings.TrimLeft(line[:min(len(line), 60)], "*_ \t")
	colon := strings.IndexByte(line, ':')
	if wide := strings.Index(line, "："); wide >= 0 && (colon < 0 || wide < colon) {
		colon = wide
	}
	if colon <= 0 || colon > 40 {
		return 0
	}
	switch strings.ToLower(strings.Trim(line[:colon], "*_ \t\u00a0")) {
	case "from", "von", "de", "da", "van", "från", "fra", "lähettäjä", "od", "от", "от кого", "kimden", "gönderen",
		"差出人", "发件人", "寄件者", "보낸 사람", "reply-to", "antwort an":
		return fromWord
	case "sent", "date", "gesendet", "datum", "envoyé", "envoyée", "enviado", "enviado el", "enviado em", "fecha", "inviato", "data",
		"verzonden", "enviada", "enviada em", "skickat", "sendt", "dato", "lähetetty", "päiväys", "päivämäärä", "wysłano", "odesláno",
		"отправлено", "дата", "gönderildi", "tarih", "gönderme tarihi", "送信日時", "日付", "日時", "发送时间", "发送日期", "日期", "寄件日期", "寄件時間", "보낸 날짜":
		return dateWord
	case "to", "an", "à", "para", "a", "aan", "till", "til", "vastaanottaja", "do", "komu", "кому", "kime", "宛先", "收件人", "收件者", "받는 사람":
		return toWord
	case "cc", "copie à", "kopie", "kopia", "kopi", "kopio", "копия", "bilgi", "抄送", "副本", "참조":
		return ccWord
	case "subject", "betreff", "objet", "asunto", "oggetto", "onderwerp", "assunto", "ämne", "emne", "aihe", "temat",
		"předmět", "тема", "konu", "件名", "主题", "主旨", "제목":
		return subjectWord
	}
	return 0
}

// originalMarkers are what stands between the dashes of "-----Original Message-----".
var originalMarkers = [...]string{
	"original message", "original appointment", "original", "reply message", "forwarded", "forwarded message",
	"ursprüngliche nachricht", "originalnachricht", "original-nachricht", "weitergeleitete nachricht",
	"message d'origine", "message d’origine", "message original", "message transféré", "message initial",
	"mensaje original", "mensaje reenviado", "messaggio originale", "messaggio inoltrato",
	"oorspronkelijk bericht", "doorgestuurd bericht", "mensagem original", "mensagem encaminhada",
	"ursprungligt meddelande", "originalmeddelande", "vidarebefordrat meddelande",
	"oprindelig meddelelse", "videresendt meddelelse", "opprinnelig melding", "videresendt melding",
	"alkuperäinen viesti", "välitetty viesti", "oryginalna wiadomość", "wiadomość oryginalna", "przekazana wiadomość",
	"původní zpráva", "přeposlaná zpráva", "исходное сообщение", "оригинальное сообщение", "пересылаемое сообщение",
	"пересланное сообщение", "orijinal mesaj", "özgün ileti", "orijinal ileti", "iletilen mesaj", "yönlendirilmiş mesaj",
	"元のメッセージ", "転送メッセージ", "原始邮件", "邮件原件", "转发邮件", "轉寄郵件", "원본 메일",
}

// forwardMarkers stand alone on a line, without dashes (Apple Mail).
var forwardMarkers = [...]string{
	"begin forwarded message:", "anfang der weitergeleiteten nachricht:", "début du message réexpédié :", "début du message transféré :",
	"inicio del mensaje reenviado:", "inizio messaggio inoltrato:", "begin doorgestuurd bericht:", "início da mensagem reencaminhada:",
	"vidarebefordrat brev:", "videresendt besked:", "starten på videresendt melding:", "välitetty viesti alkaa:",
	"początek przekazywanej wiadomości:", "začátek přeposílané zprávy:", "начало переадресованного сообщения:", "iletilen ileti başlangıcı:",
	"転送されたメッセージ:", "开始转发的邮件：",
}

// isOriginalMarker finds the line above a mail that was appended whole.
func isOriginalMarker(line string) bool {
	const longest = 120
	if len(line) > longest || len(line) < 2 {
		return false
	}
	dashed := strings.HasPrefix(line, "--") && strings.HasSuffix(line, "--")
	if !dashed && !endsInColon(line) {
		return false
	}
	inner := strings.ToLower(strings.Trim(line, "- \t\u00a0"))
	if inner == "" {
		return false
	}
	if strings.HasPrefix(inner, "forwarded by ") { // Lotus Notes: with name and date
		return dashed
	}
	if dashed {
		return hasWroteWord(inner) || slices.Contains(originalMarkers[:], inner)
	}
	return slices.Contains(forwardMarkers[:], inner)
}

// wroteWords are the verbs of attribution lines.
var wroteWords = [...]string{
	"wrote", "writes", "said", "schrieb", "schreibt", "a écrit", "a ecrit", "escribió", "escribio", "ha scritto", "scrive", "schreef",
	"geschreven", "escreveu", "skrev", "skrifaði", "kirjoitti", "napisał", "napisała", "napisał(a)", "pisze", "napsal", "napsala", "napsal(a)", "píše",
	"написал", "написала", "написал(а)", "пишет", "писал", "yazdı", "tarihinde", "写道", "寫道", "書きました", "のメール",
}

// sentFrom are the beginnings of the lines that telephones and services add.
var sentFrom = [...]string{
	"sent from my ", "sent from mail", "sent from outlook", "sent from yahoo", "sent from proton", "sent from samsung", "sent from a mobile", "sent from a phone",
	"sent via ", "sent with proton", "sent with [proton", "sent with airmail", "sent with spark", "get outlook for ", "sent using ", "download outlook for",
	"von meinem iphone", "von meinem ipad", "von meinem mobil", "von meinem handy", "von meinem smart", "von meinem samsung", "von meinem android", "gesendet von ", "gesendet mit ", "gesendet über ", "outlook für ", "holen sie sich outlook", "diese nachricht wurde von meinem ",
	"envoyé de mon ", "envoyé depuis ", "envoyé à partir ", "obtenir outlook pour", "obtenez outlook pour", "télécharger outlook pour", "téléchargez outlook pour",
	"enviado desde ", "enviado do ", "enviado de mi", "enviado via ", "obtener outlook para", "obter o outlook para", "obtenha o outlook para",
	"inviato da ", "inviato dal ", "ottieni outlook per", "scarica outlook per",
	"verzonden vanaf ", "verstuurd vanaf ", "verzonden met ", "outlook voor ", "download outlook voor",
	"skickat från ", "hämta outlook för", "sendt fra ", "hent outlook for", "få outlook for", "lähetetty iphone", "lähetetty ipad", "lähetetty samsung", "lähetetty android", "lähetetty outlook", "hanki outlook",
	"wysłane z ", "wysłano z ", "pobierz program outlook", "pobierz aplikację outlook", "odesláno z", "získat outlook pro",
	"отправлено с ", "отправлено из ", "скачать outlook", "скачайте outlook", "получить outlook",
	"iphone'umdan gönderildi", "iphone’umdan gönderildi", "ipad'imden gönderildi", "android için outlook", "ios için outlook",
	"iphoneから送信", "ipadから送信", "outlook for ", "发自我的", "從我的", "获取 outlook for", "取得 outlook for", "발신: ",
}

// isSentFrom finds "Sent from my iPhone".
func isSentFrom(line string) bool {
	const longest = 100
	if len(line) > longest {
		return false
	}
	line = strings.ToLower(strings.TrimLeft(line, "-–—*_[<( "))
	for _, begin := range sentFrom {
		if strings.HasPrefix(line, begin) {
			return true
		}
	}
	return false
}
