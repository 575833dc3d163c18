// Go's net/http, with nothing but the standard library.
package main

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

var (
	vendorURL = os.Getenv("VENDOR_URL")
	secret    = []byte(os.Getenv("SESSION_SECRET"))
	logger    = log.New(os.Stdout, "", 0)
	client    = &http.Client{
		Timeout:   2 * time.Second,
		Transport: &http.Transport{MaxIdleConnsPerHost: 256},
	}
	errRefused = errors.New("refused")
)

// verified returns the subject of a good HS256 session token.
func verified(token string) (string, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return "", errRefused
	}
	var header struct {
		Alg string `json:"alg"`
	}
	if err := decode(parts[0], &header); err != nil || header.Alg != "HS256" {
		return "", errRefused
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		return "", errRefused
	}
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(parts[0] + "." + parts[1]))
	if !hmac.Equal(signature, mac.Sum(nil)) {
		return "", errRefused
	}
	var claims struct {
		Iss string `json:"iss"`
		Aud string `json:"aud"`
		Sub string `json:"sub"`
		Exp int64  `json:"exp"`
	}
	if err := decode(parts[1], &claims); err != nil {
		return "", errRefused
	}
	if claims.Iss != os.Getenv("SESSION_ISSUER") || claims.Aud != os.Getenv("SESSION_AUDIENCE") ||
		claims.Exp <= time.Now().Unix() || claims.Sub == "" {
		return "", errRefused
	}
	return claims.Sub, nil
}

func decode(part string, into any) error {
	text, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, into)
}

// window counts each user's requests of the minute.
type window struct {
	mutex  sync.Mutex
	minute int64
	hits   map[string]int
}

func (w *window) lets(user string) bool {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	if minute := time.Now().Unix() / 60; minute != w.minute {
		w.minute, w.hits = minute, map[string]int{}
	}
	w.hits[user]++
	return w.hits[user] <= 6000
}

// authToken asks the vendor for a token.
func authToken(uid string) (string, error) {
	url := vendorURL + "/users/" + uid + "/auth_tokens"
	request, err := http.NewRequest(http.MethodPost, url, bytes.NewReader([]byte(`{"force":true}`)))
	if err != nil {
		return "", err
	}
	request.Header.Set("apikey", os.Getenv("VENDOR_API_KEY"))
	request.Header.Set("appId", os.Getenv("VENDOR_APP_ID"))
	request.Header.Set("Content-Type", "application/json")
	answer, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(bufio.NewReader(io.LimitReader(answer.Body, 1<<18)))
	if err != nil || answer.StatusCode != http.StatusOK {
		return "", errRefused
	}
	var envelope struct {
		Data struct {
			AuthToken string `json:"authToken"`
		} `json:"data"`
	}
	err = json.Unmarshal(body, &envelope)
	return envelope.Data.AuthToken, err
}

func write(w http.ResponseWriter, status int, members map[string]string) {
	body, _ := json.Marshal(members)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(body)
}

func main() {
	limit := &window{hits: map[string]int{}}
	http.HandleFunc("/v1/auth-tokens", func(w http.ResponseWriter, r *http.Request) {
		started := time.Now()
		uid, err := verified(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
		if r.Method != http.MethodPost || err != nil {
			write(w, http.StatusUnauthorized, map[string]string{"code": "session_invalid"})
			return
		}
		if !limit.lets(uid) {
			write(w, http.StatusTooManyRequests, map[string]string{"code": "rate_limited"})
			return
		}
		token, err := authToken(uid)
		if err != nil {
			write(w, http.StatusServiceUnavailable, map[string]string{"code": "directory_unavailable"})
			return
		}
		line, _ := json.Marshal(map[string]any{
			"time": started, "event": "login", "uid": uid, "duration_s": time.Since(started).Seconds(),
		})
		logger.Println(string(line))
		write(w, http.StatusCreated, map[string]string{"uid": uid, "authToken": token})
	})
	http.HandleFunc("/livez", func(w http.ResponseWriter, _ *http.Request) {})
	if err := http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), nil); err != nil {
		panic(err)
	}
}
