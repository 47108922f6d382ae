// Sends events with a real tracking client and prints how each scenario ended, as one JSON line.
// argv: client, host, count, scenarios as JSON {name: write key}, options as JSON
import { createRequire } from 'node:module'
const require = createRequire(import.meta.url)

const [client, host, count, keys, given] = process.argv.slice(2)
const options = JSON.parse(given)
const pause = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000))

const event = (number) => ({
  userId: `user-${number % 5}`,
  anonymousId: `anonymous-${number % 5}`,
  event: 'Product Viewed',
  properties: { product_id: `p${number}`, price: 9.5, name: 'Blåhaj 🦈' },
  context: { traits: { email: `someone${number % 5}@example.com` } },
})

const segment = async (name, writeKey) => {
  const { Analytics } = require('@segment/analytics-node')
  const errors = []
  const analytics = new Analytics({
    writeKey, host, flushAt: 20, flushInterval: 100, httpRequestTimeout: 2000, maxRetries: options.retries,
  })
  analytics.on('error', (error) => errors.push(String(error.code)))
  for (let n = 0; n < Number(count); n++) {
    analytics.track(event(n))
    if (options.pause) await pause(options.pause)
  }
  await analytics.closeAndFlush({ timeout: options.patience * 1000 })
  return { name, errors: errors.length }
}

// Its time-out bounds all tries of a batch together, so it must be longer than an outage.
const rudder = async (name, writeKey) => {
  const Analytics = require('@rudderstack/rudder-sdk-node')
  const errors = []
  const analytics = new Analytics(writeKey, {
    dataPlaneUrl: host, flushAt: 20, flushInterval: 100, timeout: 60000, retryCount: options.retries,
    gzip: options.gzip, logLevel: 'fatal', errorHandler: (error) => errors.push(String(error.code)),
  })
  let answered = 0
  for (let n = 0; n < Number(count); n++) {
    analytics.track(event(n), () => { answered += 1 })
    if (options.pause) await pause(options.pause)
  }
  const deadline = Date.now() + options.patience * 1000
  while (answered < Number(count) && Date.now() < deadline) {
    await analytics.flush().catch(() => undefined)
    await pause(0.05)
  }
  return { name, errors: errors.length }
}

const send = { segment, rudder }[client]
const results = await Promise.all(Object.entries(JSON.parse(keys)).map(([name, key]) => send(name, key)))
console.log(JSON.stringify(Object.fromEntries(results.map((each) => [each.name, each]))))
process.exit(0)
