/** The subscription is over, or another router has it now. */
export class SubscriptionClosed extends Error {
  constructor() {
    super('the subscription is over here')
    this.name = 'SubscriptionClosed'
  }
}
